# Everything below needs Python 3.11 or newer with venv, make and a package registry. See README.md.
PYTHON ?= python3
BIN := .venv/bin
PROMTOOL := .cache/promtool/usr/bin/promtool
PGBOUNCER := .cache/pgbouncer/usr/sbin/pgbouncer
NGINX := .cache/nginx/usr/sbin/nginx
CADDY := .cache/caddy/usr/bin/caddy
ALERTMANAGER := .cache/alertmanager/usr/bin/prometheus-alertmanager
NEWER := .cache/alertmanager-newer/usr/bin/prometheus-alertmanager
SHELLS := .cache/shells/usr/bin/fish
CHROMIUM := .cache/chromium/usr/lib/chromium/chromium
PYTEST := PATH="$(CURDIR)/$(dir $(PROMTOOL)):$$PATH" $(BIN)/python -m pytest
# Test processes at once: most tests wait more than they compute.
JOBS ?= 4
PROTO := alert_refresh/targets/kubernetes/encoding/secrets.proto

.PHONY: install run demo-views demo-alertmanager test rerun lint check smoke late bench bench-views soak proto generated lock tools screenshots clean

install: .venv/installed ## make .venv with the program, all extras and the development tools

# The locks are complete, so they are installed without resolving anything anew: `--no-deps`, and `pip check` after it.
# With dependencies pip would look at newer releases too, and refuse them for want of a hash.
PIP_INSTALL := $(BIN)/pip install -q --disable-pip-version-check --no-deps

.venv/run: requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with PYTHON=")'
	$(PYTHON) -m venv .venv
	$(PIP_INSTALL) --require-hashes -r requirements.lock
	$(PIP_INSTALL) --no-build-isolation -e .
	$(BIN)/pip check --disable-pip-version-check
	touch $@

.venv/installed: .venv/run requirements-dev.lock
	$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	$(BIN)/pip check --disable-pip-version-check
	touch $@

run: .venv/run ## the daemon on the example manifests and rules, http://127.0.0.1:8080
	TARGET_DIRECTORY="$${TARGET_DIRECTORY-config/examples/targets}" \
	RULES_FILE="$${RULES_FILE-config/examples/rules.yaml}" \
	ALERT_REFRESH_LOG_FORMAT="$${ALERT_REFRESH_LOG_FORMAT-console}" \
	exec $(BIN)/alert-refresh serve

demo-views: install ## a throw-away PostgreSQL, the example hierarchy, and what curl gets of the views
	$(BIN)/python config/examples/demo_views.py

demo-alertmanager: install tools ## an Alertmanager, a webhook, and where alerts arrive when a Secret changes
	$(BIN)/python config/examples/demo_alertmanager.py

test: install tools ## the tests, with branch coverage
	$(PYTEST) -n $(JOBS) --dist worksteal --cov --cov-report=term --cov-fail-under=95

lint: install ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# As CPython's CI does: what fails again is broken, what passes depends on timing and is to be mended; both are named.
rerun: install ## the tests that failed last, at most three, once more and alone
	@$(BIN)/python -c 'import json; failed = list(json.load(open(".pytest_cache/v/cache/lastfailed"))); \
	  print("failed:", *failed, sep="\n  "); exit(not 0 < len(failed) <= 3)'
	$(PYTEST) --last-failed --last-failed-no-failures=none

check: lint test ## style, types, tests

smoke: ## install, serve and stop on every Python 3.11 or newer here, though all dependencies have newer releases
	$(PYTHON) tests/smoke.py

late: install tools ## the tests while threads begin late, at random: finds those that depend on timing
	LATE=0.1 PYTHONPATH=tests/late $(PYTEST) -n $(JOBS) --dist worksteal

soak: install tools ## the long runs that CI does in short
	$(PYTEST) -m soak --timeout=3600

bench: install ## what performance claims rest on; prints tables
	$(BIN)/python -m bench

bench-views: install ## what the views' claims rest on, on a real PostgreSQL; takes ten minutes
	$(BIN)/python -m bench.views

screenshots: install tools ## docs/images/page-*.png anew, from the real program in a browser
	$(BIN)/python -m tests.e2e.screenshots

proto: install ## generate the protobuf module anew from its .proto file
	$(BIN)/python -m grpc_tools.protoc --proto_path=. --python_out=. --pyi_out=. $(PROTO)

generated: .venv/run ## write anew the PrometheusRule, from the alerts, and the README's table of settings, from the settings
	$(BIN)/python config/generate.py

lock: ## write the lock files anew from setup.cfg; UPGRADE=--upgrade takes newer releases
	$(BIN)/uv pip compile setup.cfg --all-extras --universal --generate-hashes -q $(UPGRADE) -o requirements-dev.lock
	$(BIN)/uv pip compile setup.cfg --extra build --extra postgres --extra redis --extra encryption --universal \
	  --generate-hashes -q $(UPGRADE) -c requirements-dev.lock -o requirements.lock

tools: $(PROMTOOL) $(PGBOUNCER) $(ALERTMANAGER) $(NEWER) $(NGINX) $(CADDY) $(SHELLS) $(CHROMIUM) ## what tests need of Debian's packages: Prometheus, pgbouncer, Alertmanager (the system's, and that of Debian 13), nginx, Caddy, zsh, fish and Chromium; without one its tests are skipped

# $(call unpack,FOLDER,PACKAGES): the packages, unpacked into that folder of the cache.
unpack = @mkdir -p .cache/$(1) && (cd .cache && for package in $(2); do \
	  { apt-get download $$package || { apt-get update -qq && apt-get download $$package; }; } >/dev/null 2>&1 \
	  && dpkg -x $${package}_*.deb $(1) && rm $${package}_*.deb || exit 1; done) \
	  || echo "$(2) cannot be fetched here: the tests that need it are skipped"

$(PROMTOOL):
	$(call unpack,promtool,prometheus)

$(PGBOUNCER):
	$(call unpack,pgbouncer,pgbouncer libc-ares2)

$(ALERTMANAGER):
	$(call unpack,alertmanager,prometheus-alertmanager)

# Of Debian 13, whose lists apt gets and verifies in a folder of their own; it runs with the libc6 of Debian 12.
TRIXIE := -o Dir::Etc::sourcelist=$(CURDIR)/.cache/trixie/sources.list -o Dir::Etc::sourceparts=/dev/null \
  -o Dir::State::lists=$(CURDIR)/.cache/trixie/lists -o Dir::Cache=$(CURDIR)/.cache/trixie
$(NEWER):
	@mkdir -p .cache/trixie/lists/partial .cache/alertmanager-newer && (cd .cache/trixie \
	  && echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >sources.list \
	  && apt-get $(TRIXIE) update && apt-get $(TRIXIE) download prometheus-alertmanager \
	  && dpkg -x prometheus-alertmanager_*.deb ../alertmanager-newer) >/dev/null 2>&1 \
	  || echo "Debian 13's Alertmanager cannot be fetched here: the tests that need it are skipped"; rm -rf .cache/trixie

$(NGINX):
	$(call unpack,nginx,nginx)

$(CADDY):
	$(call unpack,caddy,caddy)

$(SHELLS):
	$(call unpack,shells,zsh zsh-common libpcre2-32-0 fish-common fish)

# With the packages that it needs and that are not installed; nothing is installed.
$(CHROMIUM):
	@command -v chromium >/dev/null || { mkdir -p $(CURDIR)/.cache/chromium && cd $(CURDIR)/.cache/chromium \
	  && missing() { apt-get install -s --no-install-recommends chromium | sed -n 's/^Inst \([^ ]*\).*/\1/p' | grep .; } \
	  && { packages=$$(missing) || { apt-get update -qq && packages=$$(missing); }; } && apt-get download $$packages \
	  && for package in *.deb; do dpkg -x $$package . || exit 1; done && rm *.deb; } >/dev/null 2>&1 \
	  || { rm -rf $(CURDIR)/.cache/chromium; echo "Chromium cannot be fetched here: the tests that need it are skipped"; }

clean: ## remove what the other targets made
	rm -rf .venv .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
