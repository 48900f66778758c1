//! impacket, an independent implementation of the client's side, against this server over TCP.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use dcerpc::AssociationGroups;
use uuid::{Uuid, uuid};

use crate::echo::{Echo, Happening};

/// The Python that `cargo xtask test` installs, unless `QUORATE_TEST_PYTHON` names another one.
fn python() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("QUORATE_TEST_PYTHON")
        .map_or_else(|| manifest.join("../../target/test-tools/venv/bin/python3"), PathBuf::from)
}

fn require_impacket(python: &Path) {
    let found = Command::new(python).args(["-c", "import impacket.dcerpc.v5.rpcrt"]).output();
    let ready = matches!(&found, Ok(output) if output.status.success());
    assert!(
        ready,
        "this test needs impacket for {}: install it with `cargo xtask test`, or with \
         `python3 -m venv target/test-tools/venv && target/test-tools/venv/bin/pip install impacket` ({found:?})",
        python.display()
    );
}

/// The server's observations of its clients.
#[derive(Default)]
struct DecodedCall {
    calls: usize,
    longest_stub_bytes: usize,
    objects: BTreeSet<Uuid>,
}

impl DecodedCall {
    fn note(&mut self, happening: &Happening) {
        if let Happening::Called { object, stub, .. } = happening {
            self.calls += 1;
            self.longest_stub_bytes = self.longest_stub_bytes.max(stub.len());
            self.objects.extend(object);
        }
    }
}

/// Serves one connection until either side closes it.
fn serve(mut connection: TcpStream, mut echo: Echo, seen: &Mutex<DecodedCall>) {
    let mut buffer = [0; 4096];
    while let Ok(bytes @ 1..) = connection.read(&mut buffer) {
        for happening in echo.feed(&buffer[..bytes]) {
            seen.lock().unwrap().note(&happening);
            let written = match &happening {
                Happening::Sent(pdus) => connection.write_all(pdus).is_ok(),
                Happening::Called { .. } => true,
                Happening::Closed(_) => false,
            };
            if !written {
                return;
            }
        }
    }
}

/// Runs `client` against an echo server on a separate port.
fn with_server<T>(client: impl FnOnce(SocketAddr) -> T) -> (T, DecodedCall) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (groups, seen, stopping) =
        (AssociationGroups::new(), Mutex::new(DecodedCall::default()), AtomicBool::new(false));
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            for connection in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let (connection, echo) = (connection.unwrap(), Echo::new(&groups));
                let seen = &seen;
                scope.spawn(move || serve(connection, echo, seen));
            }
        });
        let result = client(address);
        stopping.store(true, Ordering::SeqCst);
        TcpStream::connect(address).unwrap();
        result
    });
    (result, seen.into_inner().unwrap())
}

#[test]
fn impacket_is_served_in_every_case() {
    let python = python();
    require_impacket(&python);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/impacket_client.py");
    let (output, seen) =
        with_server(|address| Command::new(&python).arg(&script).arg(address.port().to_string()).output().unwrap());
    let [reached, error] = [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream));
    assert!(output.status.success(), "the last of these cases failed:\n{reached}\n{error}");
    assert_eq!(reached.lines().count(), 13, "cases that were run:\n{reached}");
    assert_eq!(seen.longest_stub_bytes, 60_008, "the longest call came whole");
    assert_eq!(seen.objects, BTreeSet::from([uuid!("00112233-4455-6677-8899-aabbccddeeff")]));
    assert!(seen.calls > 200, "{} calls", seen.calls);
}
