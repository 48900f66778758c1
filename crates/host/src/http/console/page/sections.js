// The sections of the page: from the node's JSON to elements.

const known = {};

const sectionContent = (id) => document.querySelector(`#${id} .content`);

/** Puts elements into a section, unless it has the same elements already, so that selection and focus stay. */
function put(where, ...elements) {
  const made = make("div", {}, ...elements);
  if (where.innerHTML === made.innerHTML) return;
  // The focused button stays focused.
  const on = where.contains(document.activeElement) ? document.activeElement.getAttribute("data-key") : null;
  where.replaceChildren(...made.childNodes);
  if (on) [...where.querySelectorAll("[data-key]")].find((one) => one.getAttribute("data-key") === on)?.focus();
}

/** Changes a text only if it differs, because screen readers announce each change. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function nodeState(node, leader) {
  if (node.state === "stopped" && !node.reachable) return ["warn", "drained and stopped"];
  if (!node.reachable) return ["bad", "does not answer"];
  if (node.draining) return ["warn", "draining"];
  if (!node.ready) return ["bad", "not ready"];
  if (node.state === "lagging") return ["warn", "lagging"];
  if (node.state !== "ok") return ["unknown", "unknown"];
  return ["good", node.id === leader ? "leader" : "ready"];
}

function showNodes({ nodes, leader, term }) {
  const rows = nodes.map((node) => {
    const [state, text] = nodeState(node, leader);
    const off = node.clock_offset_ms;
    const clockText = off === null ? "–" : `${off > 0 ? "+" : ""}${Math.abs(off) < 10000 ? `${off} ms` : `${Math.round(off / 1000)} s`}`;
    return { id: node.id, state, cells: [
      { head: true, content: `Node ${node.id}` },
      { content: [word(state, text), node.why ? make("span", { class: "why" }, node.why) : null] },
      { content: node.role },
      { content: node.lag === null ? "unknown" : many(node.lag, "entry", "entries"), number: true },
      { content: clockText, number: true },
      { content: node.version || "–" },
      { content: named(node.address) },
    ] };
  });
  const answering = nodes.filter((node) => node.reachable).length;
  const leads = leader === null ? "no leader is known" : `node ${leader} is the leader in term ${term}`;
  put(sectionContent("nodes"), make("div", { class: "card" },
    make("p", { class: "quiet small" }, `${answering} of ${nodes.length} answer; ${leads}.`),
    table("The nodes of the cluster", ["Node", "State", "Role", "Lag", "Clock", "Version", "Address"], rows)));
  const trouble = rows.map((row, at) => [nodes[at].id, nodeState(nodes[at], leader)]).filter(([, [state]]) => state !== "good");
  say(document.getElementById("nodes-said"), trouble.map(([id, [, text]]) => `Node ${id}: ${text}.`).join(" "));
}

/** The time at which a count falls below a threshold, as a short text. */
function falls(ms, nowMs) {
  const days = (ms - nowMs) / 86400000;
  return days < 2 ? `${minute(ms)}, in ${Math.max(0, Math.round(days * 24))} h` : `${day(ms)}, in ${Math.round(days)} days`;
}

function showCounts() {
  const { counts, history, pulse } = known;
  if (!counts) return;
  const nowMs = pulse ? pulse.time_ms : Date.now();
  if (counts.length === 0) {
    put(sectionContent("counts"), make("div", { class: "card" }, make("p", { class: "quiet" }, "No catalog is installed: nothing is counted."),
      commandLine("quorate catalog install FILE --trust FINGERPRINT")));
    return;
  }
  put(sectionContent("counts"), counts.map((application) => showCount(application, history, nowMs)));
}

function showCount(application, history, nowMs) {
  const byThreshold = new Map();
  for (const product of application.products) {
    if (!byThreshold.has(product.threshold)) byThreshold.set(product.threshold, []);
    byThreshold.get(product.threshold).push(product);
  }
  const thresholds = [...byThreshold].sort(([one], [other]) => one - other)
    .map(([threshold, products]) => ({ threshold, products, met: products[0].met }));
  const points = (history || []).find((one) => one.id === application.id)?.points || [];
  const rows = thresholds.map(({ threshold, products, met }) => {
    const { falls_below_ms: alone, falls_below_by_trend_ms: trend } = products[0];
    return { id: threshold, cells: [
      { head: true, content: threshold },
      { content: met ? word("good", "reached") : word("warn", `${many(threshold - application.count, "machine", "machines")} missing`) },
      { content: met && alone ? falls(alone, nowMs) : "–", class: "moment" },
      { content: met ? (trend ? word("warn", falls(trend, nowMs)) : "stays above") : "–", class: "moment" },
      { content: named(products.map((product) => product.product).join(", ")) },
    ] };
  });
  const { svg, said } = drawAges(application.ages);
  return make("article", { class: "card count", "data-application": application.id },
    make("div", {},
      make("h3", {}, named(application.application)),
      make("p", { class: "quiet small" }, named(application.publisher)),
      make("p", { class: "figure" }, application.count),
      make("p", { class: "quiet small" }, application.count === 1 ? "machine counted" : "machines counted", make("br"), application.cache_limit > 0 ? `cache limit ${application.cache_limit}` : "no requests yet")),
    make("div", { class: "charts" },
      make("figure", {}, drawLine(points, thresholds, application.count, nowMs), make("figcaption", {}, "The count over the last day; dashed: the thresholds")),
      make("figure", {}, svg, make("figcaption", {}, said))),
    make("div", { class: "thresholds" },
      table(`Thresholds of ${application.application}`, ["Threshold", "State", "Below without renewals", "Below by trend", "Products"], rows)));
}

function showEvents({ events, passed_over: passedOver }) {
  const rows = events.map((event) => ({ state: null, cells: [
    { content: make("time", { datetime: new Date(event.time_ms).toISOString() }, day(event.time_ms) === day(Date.now()) ? clock(event.time_ms) : minute(event.time_ms)), class: "moment" },
    { content: [named(event.machine), event.other_machine ? make("span", { class: "why" }, "another machine used this CMID before") : null] },
    { content: event.client_address ? named(event.client_address) : "–" },
    { content: named(event.product || "unknown") },
    { content: event.well ? event.answer : word("bad", event.answer) },
    { content: event.count === null ? "–" : `${event.count} of ${event.required}`, number: true },
    { content: event.node, number: true },
  ] }));
  put(sectionContent("events"), make("div", { class: "card compact" },
    rows.length ? table("Latest activation events", ["Time", "Machine", "Address", "Product", "Answer", "Count", "Node"], rows)
      : make("p", { class: "quiet" }, "No events yet."),
    passedOver.map((why) => make("p", { class: "quiet small" }, `No answer: ${why}`))));
}

const DNS_WORDS = {
  own: ["good", "this node’s"], member: ["good", "a member’s"], known: ["good", "listed in dns.known"],
  dead: ["warn", "a member’s that does not answer"], foreign: ["warn", "not of a member"], missing: ["bad", "missing"],
};

function showDns(domains) {
  if (!domains || domains.length === 0) {
    const why = domains ? "No domain is published." : "This node has no dns.target in its configuration.";
    put(sectionContent("dns"), make("div", { class: "card" }, make("p", { class: "quiet" }, why)));
    return;
  }
  put(sectionContent("dns"), domains.map((domain) => {
    const rows = domain.records.map((record) => {
      const [state, text] = DNS_WORDS[record.state] || ["warn", record.state];
      return { state: state === "bad" ? "bad" : null, cells: [
        { head: true, content: named(record.target) },
        { content: record.stale ? word("warn", `${text}, outdated`) : word(state, text) },
        { content: record.port, number: true }, { content: record.priority, number: true }, { content: record.weight, number: true },
      ] };
    });
    return make("article", { class: "card" }, make("h3", {}, named(domain.domain), domain.served ? " – served by the nodes" : ""),
      domain.error ? make("p", {}, word("bad", domain.error)) : null,
      rows.length ? table(`Records in ${domain.domain}`, ["Target", "State", "Port", "Priority", "Weight"], rows) : make("p", { class: "quiet" }, "No records."));
  }));
}

function showKeys(keys) {
  const rows = keys.map((key) => {
    const wrong = key.nodes.filter((node) => node.state !== "activated");
    const room = key.hosts_limit === null
      ? make("span", { class: "quiet" }, "unknown")
      : make("span", { class: "room" }, `${key.hosts_used} of ${many(key.hosts_limit, "host", "hosts")}`, drawRoom(key.hosts_used, key.hosts_limit));
    const nodes = wrong.length === 0 ? word("good", `activated on ${many(key.nodes.length, "node", "nodes")}`)
      : wrong.map((node) => make("span", {}, word(node.state === "blocked" ? "bad" : "warn", `node ${node.node}: ${node.state}`), " "));
    return { cells: [
      { head: true, content: named(key.key) }, { content: named(key.group || "–") }, { content: room, class: "room-cell" },
      { content: nodes }, { content: named(key.publisher) },
    ] };
  });
  put(sectionContent("keys"), make("div", { class: "card" }, rows.length
    ? table("Installed host keys", ["Key", "Group", "Headroom", "Nodes", "Publisher"], rows)
    : make("p", { class: "quiet" }, "No host key is installed.")));
}

const CHECK_WORDS = { ok: ["good", "ok"], unknown: ["unknown", "unknown"], warning: ["warn", "warning"], failure: ["bad", "failure"] };

function commandLine(command) {
  const button = make("button", { type: "button", "data-copy": command, "data-key": command, "aria-label": `Copy: ${command}` }, "Copy");
  return make("div", { class: "command" }, make("code", {}, command), button);
}

/** The problems, most severe first; findings with the same remedy are one problem. */
function problems(checks) {
  const found = new Map();
  for (const check of checks.filter((one) => one.state !== "ok")) {
    const key = [check.state, check.name, check.fix].join("\n");
    if (found.has(key)) found.get(key).findings.push(check.finding);
    else found.set(key, { ...check, findings: [check.finding] });
  }
  const all = [...found.values()];
  return ["failure", "warning", "unknown"].flatMap((state) => all.filter((one) => one.state === state));
}

function showProblem(problem) {
  const [state, text] = CHECK_WORDS[problem.state];
  return make("li", { class: "finding", "data-state": problem.state, "data-check": problem.name },
    problem.findings.map((finding, at) => make("p", { class: "what" }, at === 0 ? [word(state, text), " "] : null, finding)),
    make("p", { class: "quiet" }, `Remedy: ${problem.fix}`),
    problem.commands.length ? make("div", { class: "commands" }, problem.commands.map(commandLine)) : null);
}

function showChecks({ checks, examined_ms: examinedMs }) {
  // Before disks, ports and DNS are checked for the first time, unknown results are not shown.
  const wrong = problems(checks).filter((one) => examinedMs !== null || one.state !== "unknown");
  const certain = wrong.filter((one) => one.state !== "unknown").length;
  const verdict = document.getElementById("verdict-text");
  verdict.setAttribute("data-state", wrong.length ? wrong[0].state : examinedMs === null ? "waiting" : "ok");
  say(verdict, certain ? `Degraded: ${many(certain, "problem", "problems")}`
    : wrong.length ? `${many(wrong.length, "check is", "checks are")} unknown`
    : examinedMs === null ? "Checking …" : "All checks passed");
  put(document.getElementById("findings"), wrong.map(showProblem));
  const rows = checks.map((check) => ({ cells: [
    { head: true, content: check.name }, { content: word(...CHECK_WORDS[check.state]) }, { content: check.finding },
  ] }));
  put(sectionContent("checks"), make("div", { class: "card compact" },
    make("p", { class: "quiet small" }, examinedMs === null ? "Disks, ports and DNS are being checked." : `Disks, ports and DNS were checked at ${clock(examinedMs)}; all other checks are current.`),
    table("Checks of quorate doctor", ["Check", "State", "Finding"], rows)));
  showSummary();
}

/** The summary below the overall status. */
function showSummary() {
  const { nodes, counts } = known;
  if (!nodes) return;
  const answering = nodes.nodes.filter((node) => node.reachable).length;
  const bears = nodes.leader === null ? "no client is activated now"
    : `tolerates ${many(nodes.failure_tolerance, "failure", "failures")}`;
  const machines = (counts || []).map((application) => `${application.application} ${application.count}`).join(", ");
  say(document.getElementById("verdict-more"), `${answering} of ${many(nodes.nodes.length, "node", "nodes")} ${nodes.nodes.length === 1 ? "answers" : "answer"}, ${bears}${machines ? `. Counted: ${machines}` : ""}.`);
}
