#!/usr/bin/env bash
# Follows the change feed: a line for each event, with a lost connection made again where it was. Needs curl and jq.
#   config/examples/follow.sh [URL]
set -euo pipefail
url=${1:-http://127.0.0.1:8080}
id=
while :; do
  event=
  while IFS= read -r line; do
    case $line in
      "id: "*) next=${line#id: } ;;
      "event: "*) event=${line#event: } ;;
      "data: "*) data=${line#data: } ;;
      "")
        # An event counts once its empty line is here: the next connection goes on after it.
        if [ -n "$event" ]; then jq -r --arg event "$event" '"\($event) \(.kind // "") \(.generation // .generations)"' <<<"$data"; fi
        id=${next-} event= ;;
    esac
  done < <(curl -sSN --fail-with-body -H "Last-Event-ID: $id" "$url/api/v2/events" || true)
  sleep 2
done
