//! The console in a browser, and requests that it must refuse.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, time::Duration};

use activation::trust::Trust;
use client::Deadlines;
use quorate_tests::{Browser, Cluster, Plan, Quorate, cmid, eventually, words};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "workstation-professional-2";
/// Counts are sampled often, so that the page can draw a line.
const SAMPLES: (&str, &str) = ("QUORATE_TEST_CONSOLE_SAMPLE_MS", "100");
/// A guaranteed time: within it the page shows a node that does not answer as unreachable.
const TURNS_RED_WITHIN: Duration = Duration::from_secs(5);

async fn activated(nodes: u8) -> Cluster {
    Cluster::activated(&Quorate::at(QUORATE), Plan { variables: &[SAMPLES], ..Plan::of(nodes) }).await
}

fn console(cluster: &Cluster, node: u64) -> String {
    format!("http://{}/", cluster.node(node).metrics)
}

/// Opens a node's console in a browser, and waits until the page shows everything.
async fn shown(cluster: &Cluster, node: u64) -> Browser {
    let browser = Browser::start(&cluster.path("")).await;
    browser.open(&console(cluster, node)).await;
    is_whole(&browser).await;
    browser
}

async fn is_whole(browser: &Browser) {
    let whole =
        "return typeof known === 'object' && known.pulse && known.events && known.checks && known.checks.examined_ms
        && known.dns !== undefined && !isLost;";
    browser.until("the page is whole", whole).await;
}

/// Script that returns each application on the page: its count, and for each threshold whether it is reached, until
/// which day, and the products.
const COUNTS: &str = "return [...document.querySelectorAll('[data-application]')].map((application) => ({
    application: application.querySelector('h3').textContent,
    count: Number(application.querySelector('.figure').textContent),
    thresholds: [...application.querySelectorAll('tbody tr')].map((row) => ({
        threshold: Number(row.cells[0].textContent),
        met: row.cells[1].textContent === 'reached',
        until: row.cells[2].textContent.slice(0, 10),
        products: row.cells[4].textContent,
    })),
}));";

/// The same values from the output of `quorate count --json`.
fn counted(reply: &Value) -> Value {
    let applications = reply["applications"].as_array().unwrap().iter().map(|application| {
        let mut thresholds: BTreeMap<u64, (bool, String, Vec<&str>)> = BTreeMap::new();
        for product in application["products"].as_array().unwrap() {
            let met = product["met"].as_bool().unwrap();
            let until = product["falls_below_at"].as_str().map_or("–", |at| &at[..10]).to_owned();
            let at = thresholds.entry(product["threshold"].as_u64().unwrap()).or_insert((met, until, Vec::new()));
            at.2.push(product["product"].as_str().unwrap());
        }
        let thresholds = thresholds.into_iter().map(|(threshold, (met, until, products))| {
            json!({ "threshold": threshold, "met": met, "until": until, "products": products.join(", ") })
        });
        json!({
            "application": application["application"],
            "count": application["count"],
            "thresholds": thresholds.collect::<Vec<_>>(),
        })
    });
    applications.collect()
}

#[tokio::test]
async fn r8_the_page_says_what_quorate_count_says_and_goes_on_to() {
    let cluster = activated(3).await;
    let product = cluster.product(PRODUCT);
    for machine in 1..=24 {
        product.count(cluster.node(machine % 3 + 1).clients, machine).await;
    }
    let browser = shown(&cluster, 2).await;
    for machine in [25, 26] {
        product.count(cluster.node(1).clients, machine).await;
        let told = cluster.administrate(3, &words!["count"]).await;
        let on_page = eventually("the page says the same", async || {
            Some(browser.script(COUNTS).await).filter(|shown| *shown == counted(&told))
        })
        .await;
        assert_eq!(on_page[0]["count"], machine);
    }
    // The last machine is the first one among the events, and the line of the count has been drawn.
    let first = "return document.querySelector('#events tbody tr').cells[5].textContent";
    browser.until("the last event is the newest", &format!("{first} === '26 of 25'")).await;
    let events = browser.script("return document.querySelectorAll('#events tbody tr').length").await;
    assert_eq!(events, 20);
    let line = browser.script("return document.querySelector('path.line').getAttribute('d')").await;
    assert!(line.as_str().unwrap().contains('H'), "{line}");
    let keys = browser.script("return document.querySelector('#keys').textContent").await;
    assert!(keys.as_str().unwrap().contains("3 of "), "{keys}");
    if std::env::var_os("QUORATE_WRITE_SCREENSHOT").is_some() {
        write_screenshot(&cluster, &browser).await;
    }
}

/// Writes the picture of the console for the documents.
async fn write_screenshot(cluster: &Cluster, browser: &Browser) {
    let product = cluster.product("server-standard-2");
    for machine in 27..=33 {
        product.count(cluster.node(machine % 3 + 1).clients, machine).await;
    }
    browser.until("all are counted", "return document.querySelector('.figure').textContent === '33'").await;
    // The picture ends at the nodes, because the page shows names of this machine further down.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/console.png");
    fs::write(path, browser.picture(1280, 1245).await).unwrap();
}

/// Script that returns the state of a node on the page: the class that gives its colour, and the word.
fn state_of(node: u64) -> String {
    format!(
        "const row = document.querySelector('#nodes tr[data-id=\"{node}\"]');
         return [row.getAttribute('data-state'), row.querySelector('.word').textContent];"
    )
}

async fn turns_red(browser: &Browser, node: u64, gone: Instant) {
    eventually(&format!("node {node} is red"), async || {
        (browser.script(&state_of(node)).await == json!(["bad", "does not answer"])).then_some(())
    })
    .await;
    let took = gone.elapsed();
    assert!(took <= TURNS_RED_WITHIN, "it took {took:?}");
}

#[tokio::test]
async fn a_killed_node_turns_red_in_time_and_what_mends_it_can_be_copied() {
    let mut cluster = activated(3).await;
    let browser = shown(&cluster, 1).await;
    let verdict = "return document.getElementById('verdict-text').textContent";
    let well = browser.script(&state_of(3)).await;
    assert_eq!(well[0], "good");
    let colour = "return getComputedStyle(document.querySelector('#nodes tr[data-id=\"3\"] .word')).color";
    let green = browser.script(colour).await;

    let gone = Instant::now();
    cluster.kill(3).await;
    turns_red(&browser, 3, gone).await;
    assert_ne!(browser.script(colour).await, green);
    browser.until("it is a problem", &format!("{verdict}.includes('problem')")).await;
    let said = browser.script("return document.getElementById('nodes-said').textContent").await;
    assert_eq!(said, "Node 3: does not answer.", "screen readers announce it");
    let copied = "return [...document.querySelectorAll('#findings [data-copy]')].map((one) => one.dataset.copy)";
    let copied = browser.script(copied).await;
    assert!(copied.as_array().unwrap().contains(&"quorate cluster remove 3 --dead".into()), "{copied}");
    let is_well = async || (browser.script(&state_of(3)).await[0] == "good").then_some(());
    cluster.start(3);
    eventually("node 3 is well again", is_well).await;
    // A frozen node: its connections stay open, and it does not answer.
    let gone = Instant::now();
    cluster.process(3).freeze();
    turns_red(&browser, 3, gone).await;
    cluster.process(3).thaw();
    eventually("node 3 answers again", is_well).await;

    // The page's own node stops: the page says so, with the time, and recovers by itself.
    cluster.kill(1).await;
    let lost = "const lost = document.getElementById('lost'); return !lost.hidden && lost.textContent";
    let said = browser.until("the page says that its node is gone", lost).await;
    assert!(said.as_str().unwrap().starts_with("Connection to this node lost at "), "{said}");
    assert!(browser.script(verdict).await.as_str().unwrap().starts_with("Unknown since"));
    cluster.start(1);
    browser.until("it is back", "return !isLost && document.getElementById('lost').hidden").await;
}

/// Machine names that a hostile node might report.
const HOSTILE: [&str; 4] = [
    "<img src=x onerror=\"window.hurt=1\">",
    "</td></table><script>window.hurt=1</script>",
    "\"><svg onload=window.hurt=1>",
    "a\u{202e}\u{7}\u{1b}[31mb",
];

#[tokio::test]
async fn whatever_a_machine_is_called_is_text_and_runs_nothing() {
    let cluster = activated(1).await;
    // The longest name that is accepted, and a name that is written from right to left.
    let trust = fs::read_to_string(cluster.path("publisher").join("trust.toml")).unwrap();
    let trust = Trust::from_toml(&trust).unwrap();
    let deadlines = Deadlines { connect: Duration::from_secs(10), exchange: Duration::from_secs(30) };
    let long = "w".repeat(63);
    for (name, machine) in [(long.as_str(), 1), ("שולחן-17", 2)] {
        let mut request = cluster.product(PRODUCT).request(cmid(machine));
        request.machine_name = name.parse().unwrap();
        client::activate(&cluster.node(1).clients.into(), &request, &trust, deadlines).await.unwrap();
    }
    let browser = shown(&cluster, 1).await;
    let names = "return [...document.querySelectorAll('#events tbody tr')].map((row) => row.cells[1].textContent)";
    let on_page = eventually("both are shown", async || {
        Some(browser.script(names).await).filter(|names| names.as_array().unwrap().len() == 2)
    })
    .await;
    assert_eq!(on_page, json!(["שולחן-17", long]));
    phone(&browser).await;
    assert!(fits(&browser).await, "the longest name fits on a phone");

    // Port 1688 accepts no such names, but a node that an attacker controls could send them to the page.
    let names: Vec<_> = HOSTILE.iter().map(|name| json!(name)).collect();
    let all_the_same = format!(
        "const names = {};
         showEvents({{ events: names.map((machine) => ({{ time_ms: 1, machine, client_address: machine, product: machine, answer: machine, count: 1,
           required: 5, node: 1, well: false, other_machine: true }})), passed_over: names }});
         showNodes({{ leader: 1, term: 1, nodes: names.map((why, at) => ({{ id: at, role: why, address: why, reachable: false, why,
           lag: null, clock_offset_ms: null, version: why }})) }});
         showChecks({{ examined_ms: 1, checks: names.map((finding) => ({{ name: finding, state: 'failure', finding, fix: finding,
           commands: [finding] }})) }});
         showDns(names.map((domain) => ({{ domain, served: true, error: domain, records: [{{ target: domain, state: domain, port: 1,
           priority: 0, weight: 0 }}] }})));
         return [...document.querySelectorAll('#events tbody tr')].map((row) => row.cells[1].querySelector('bdi').textContent);",
        Value::from(names)
    );
    assert_eq!(browser.script(&all_the_same).await, json!(HOSTILE), "as it is, as text");
    let made = "return document.querySelectorAll('main img, main script, main [onload], main [onerror]').length";
    assert_eq!(browser.script(made).await, 0);
    assert_eq!(browser.script("return window.hurt === undefined").await, true);
}

/// Sends one request; returns its status line with headers, and its body.
async fn ask(at: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (String, String) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn without_tickets_the_console_is_for_this_machine_by_its_own_name() {
    let cluster = activated(1).await;
    let at = cluster.node(1).metrics;
    let own = at.to_string();
    let port = at.port();
    let by_name = format!("localhost:{port}");
    for host in [own.as_str(), by_name.as_str(), "[::1]"] {
        let (head, body) = ask(at, "/", &[("Host", host)]).await;
        assert_eq!(status(&head), 200, "{host}: {head}");
        assert!(body.contains("\"console/console.js\""), "{body}");
        let head = head.to_lowercase();
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
             img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(head.contains(header), "{header}: {head}");
        }
    }
    // Host names that another site may have pointed at this node.
    for host in ["console.example.com", "localhost.example.com:9688", "192.0.2.1:9688"] {
        for path in ["/", "/console/stream", "/console/console.js"] {
            let (head, body) = ask(at, path, &[("Host", host)]).await;
            assert_eq!(status(&head), 403, "{host}{path}: {head}");
            assert!(body.contains("console.auth = true"), "{body}");
        }
        assert_eq!(status(&ask(at, "/livez", &[("Host", host)]).await.0), 200, "health is for everybody");
    }
    // A request for the console from a page of another site.
    let from_elsewhere = [("Host", own.as_str()), ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(status(&ask(at, "/console/stream", &from_elsewhere).await.0), 403);
    let told = cluster.administrate(1, &words!["console"]).await;
    assert_eq!(told, json!({ "url": console(&cluster, 1), "ticket_valid_s": null }));
}

#[tokio::test]
async fn with_console_auth_only_a_ticket_lets_in_and_only_once() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.set_variable(1, "QUORATE_CONSOLE_AUTH", "true");
    cluster.form().await;
    cluster.activate().await;
    let at = cluster.node(1).metrics;
    let wrong = "quorate_console_1=0000000000000000000000000000000000000000000000000000000000000000";
    for headers in [&[("Host", "a.example.com")][..], &[("Host", "a.example.com"), ("Cookie", wrong)]] {
        for path in ["/", "/console/stream", "/console/console.css"] {
            let (head, body) = ask(at, path, headers).await;
            assert_eq!(status(&head), 401, "{path}: {head}");
            assert!(body.contains("quorate console"), "{body}");
        }
    }
    assert_eq!(status(&ask(at, "/console/enter?ticket=0", &[("Host", "a.example.com")]).await.0), 401);

    let told = cluster.administrate(1, &words!["console"]).await;
    assert_eq!(told["ticket_valid_s"], 60);
    let url = told["url"].as_str().unwrap();
    let browser = Browser::start(&cluster.path("")).await;
    browser.open(url).await;
    is_whole(&browser).await;
    assert_eq!(
        browser.script("return location.href").await,
        console(&cluster, 1),
        "the ticket is gone from the address"
    );
    assert_eq!(browser.script("return document.cookie").await, "", "no script reads the cookie");
    let again = url.split_once(&at.to_string()).unwrap().1;
    assert!(again.starts_with("/console/enter?ticket=") && again.len() >= 64, "{again}");
    let (head, body) = ask(at, again, &[("Host", "a.example.com")]).await;
    assert_eq!(status(&head), 401, "a ticket is good once");
    assert!(body.contains("quorate console"));

    // Uses a second ticket without a browser: it gives a cookie for this node, and the cookie gives access to the
    // page.
    let told = cluster.administrate(1, &words!["console"]).await;
    let path = told["url"].as_str().unwrap().split_once(&at.to_string()).unwrap().1.to_owned();
    let (head, _) = ask(at, &path, &[("Host", "a.example.com")]).await;
    assert_eq!(status(&head), 303);
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(status(&ask(at, "/", &[("Host", "a.example.com"), ("Cookie", cookie)]).await.0), 200);
}

/// Opens a stream; returns its status and the connection on which it continues.
async fn stream(at: SocketAddr) -> (u16, TcpStream) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(format!("GET /console/stream HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    (String::from_utf8_lossy(&head)[9..].parse().unwrap(), stream)
}

#[tokio::test]
async fn so_many_may_look_and_metrics_are_there_all_the_same() {
    let cluster = activated(1).await;
    let at = cluster.node(1).metrics;
    let mut viewers = Vec::new();
    for _ in 0..16 {
        let (status, viewer) = stream(at).await;
        assert_eq!(status, 200);
        viewers.push(viewer);
    }
    assert_eq!(stream(at).await.0, 503);
    assert_eq!(status(&ask(at, "/metrics", &[("Host", "a.example.com")]).await.0), 200);
    viewers.pop();
    eventually("a place is free again", async || (stream(at).await.0 == 200).then_some(())).await;
}

async fn phone(browser: &Browser) {
    let screen = json!({ "width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true });
    browser.develop("Emulation.setDeviceMetricsOverride", screen).await;
}

/// Whether the page fits the window, so that it needs no horizontal scrolling.
async fn fits(browser: &Browser) -> bool {
    browser.script("return document.documentElement.scrollWidth <= window.innerWidth").await == true
}

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

#[tokio::test]
async fn a_keyboard_a_phone_and_those_who_want_no_motion_are_served() {
    let cluster = activated(1).await;
    let browser = shown(&cluster, 1).await;
    let focused = "return document.activeElement.getAttribute('href')";
    let mut reached = Vec::new();
    for _ in 0..7 {
        browser.press(TAB).await;
        let visible = "return getComputedStyle(document.activeElement).outlineStyle";
        assert_eq!(browser.script(visible).await, "solid", "one sees where one is");
        reached.push(browser.script(focused).await);
    }
    assert_eq!(reached, ["#verdict", "#counts", "#nodes", "#events", "#dns", "#keys", "#checks"]);
    browser.press(ENTER).await;
    browser.until("the section is reached", "return document.activeElement.id === 'checks'").await;
    let headed = "return [...document.querySelectorAll('table')].every((table) => table.caption
        && [...table.tHead.rows[0].cells].every((cell) => cell.scope === 'col'))";
    assert_eq!(browser.script(headed).await, true);

    let moves = "return getComputedStyle(document.querySelector('.dot')).animationName";
    assert_eq!(browser.script(moves).await, "breathe");
    let colour = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.script(colour).await;
    let wishes = json!({ "features": [
        { "name": "prefers-reduced-motion", "value": "reduce" },
        { "name": "prefers-color-scheme", "value": "dark" },
    ] });
    browser.develop("Emulation.setEmulatedMedia", wishes).await;
    assert_eq!(browser.script(moves).await, "none");
    assert_ne!(browser.script(colour).await, light);
    assert!(fits(&browser).await);
    phone(&browser).await;
    assert!(fits(&browser).await);
}
