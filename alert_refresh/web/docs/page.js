// RapiDoc reads a relative server as one at the root of the host, which behind a path prefix is another program's.
const root = new URL(".", location.href);
const description = await (await fetch(new URL("openapi.json", root))).json();
description.servers = [{ url: root.href.replace(/\/$/, "") }];
await customElements.whenDefined("rapi-doc");
await document.querySelector("rapi-doc").loadSpec(description);
