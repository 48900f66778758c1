// The connection to the node: the events that it sends, and what is shown when it is silent. Addresses are relative to the
// page, because a proxy may serve it under another path.

/** Silence after which the connection counts as lost, in milliseconds: the node sends an event every second. */
const SILENCE_MS = 5000;
const AGAIN_MS = 3000;

let source = null;
let heardAt = performance.now();
let lastHeardMs = null;
let isLost = false;

function connect() {
  if (source) source.close();
  source = new EventSource("console/stream");
  for (const name of ["pulse", "nodes", "counts", "history", "keys", "dns", "checks", "events"]) {
    source.addEventListener(name, (event) => heard(name, event.data));
  }
  source.addEventListener("error", () => { lost(); });
}

function heard(name, text) {
  heardAt = performance.now();
  lastHeardMs = Date.now();
  known[name] = JSON.parse(text);
  switch (name) {
    case "pulse": back(); break;
    case "nodes": showNodes(known.nodes); showSummary(); break;
    case "keys": showKeys(known.keys); break;
    case "dns": showDns(known.dns); break;
    case "checks": showChecks(known.checks); break;
    case "events": showEvents(known.events); break;
  }
}

/** The node answers and has sent all changes: what depends on the time is drawn once. */
function back() {
  // The connection was silent but not closed: the data received before is current again.
  if (isLost && known.checks) showChecks(known.checks);
  isLost = false;
  document.body.classList.remove("is-lost");
  const banner = document.getElementById("lost");
  if (!banner.hidden) { banner.hidden = true; banner.textContent = ""; }
  document.getElementById("link").setAttribute("data-state", "live");
  say(document.getElementById("link-text"), "live");
  say(document.getElementById("here"), `node ${known.pulse.node}`);
  if (known.nodes) document.title = `${document.getElementById("verdict-text").textContent} – Quorate`;
  showCounts();
}

function lost() {
  if (isLost) return;
  isLost = true;
  document.body.classList.add("is-lost");
  document.getElementById("link").setAttribute("data-state", "lost");
  say(document.getElementById("link-text"), "not connected");
  const since = lastHeardMs === null ? clock(Date.now()) : clock(lastHeardMs);
  const verdict = document.getElementById("verdict-text");
  verdict.setAttribute("data-state", "waiting");
  say(verdict, lastHeardMs === null ? "Not connected" : `Unknown since ${since}`);
  document.title = "Not connected – Quorate";
  const banner = document.getElementById("lost");
  banner.hidden = false;
  banner.textContent = `Connection to this node lost at ${since}. The data below was received before that; the other nodes have their own consoles. Reconnecting automatically.`;
  whyRefused(banner);
}

/** An expired session does not become valid again. */
async function whyRefused(banner) {
  try {
    const answer = await fetch("console/console.css", { cache: "no-store" });
    if (answer.status === 401) banner.textContent = "The session has expired. Run “quorate console” again and open the address that it prints.";
  } catch { /* The node cannot be reached: the banner shows that. */ }
}

setInterval(() => {
  if (performance.now() - heardAt > SILENCE_MS) lost();
}, 500);

// A browser reconnects by itself after a connection was closed, but not after a refusal or while the connection is
// silent.
setInterval(() => {
  if (isLost && (source.readyState === EventSource.CLOSED || performance.now() - heardAt > 2 * SILENCE_MS)) connect();
}, AGAIN_MS);

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Over plain HTTP, other than from loopback, pages have no clipboard access; copying a selection works.
    const field = make("textarea", { class: "unseen", readonly: "" });
    field.value = text;
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand("copy");
    field.remove();
    return isCopied;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("button[data-copy]") : null;
  if (!button) return;
  const isCopied = await copy(button.getAttribute("data-copy"));
  button.focus();
  button.textContent = isCopied ? "Copied" : "Not copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

connect();
