//! An upstream that is killed at each stage (G2): the client's own retry is served by the other one, and no request
//! reaches an upstream twice because of the gateway.

use std::sync::{Arc, Mutex};

use gateway::{Ending, Failure, State, Timeouts};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::{
    bed::{Bed, Scripted, Server, group, listen, until},
    pdus::{
        BIND, BIND_ACK, BIND_NAK, DEADLINE, Order, ack_of, bind, bind_on, call, call_id, kind, read_pdu, request,
        response,
    },
};

/// When the upstream dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    DuringBind,
    DuringRequest,
    MidFragment,
    DuringAnswer,
}

/// Serves one connection up to the stage, notes the stubs of requests, and says so.
async fn serve_until(stage: Stage, mut stream: TcpStream, stubs: Arc<Mutex<Vec<Vec<u8>>>>, reached: mpsc::Sender<()>) {
    let Some(read) = read_pdu(&mut stream).await else { return };
    let ack = ack_of(Order::Little, BIND_ACK, call_id(&read), 1, 1);
    if call_id(&read) >= 1 << 31 {
        // A probe.
        let _gone = stream.write_all(&ack).await;
        return;
    }
    if stage == Stage::DuringBind {
        stream.write_all(&ack[..20]).await.unwrap();
    } else {
        stream.write_all(&ack).await.unwrap();
    }
    match stage {
        Stage::Idle | Stage::DuringBind => {}
        Stage::MidFragment => {
            let mut some = [0; 30];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut some).await.unwrap();
        }
        Stage::DuringRequest | Stage::DuringAnswer => {
            let read = read_pdu(&mut stream).await.unwrap();
            stubs.lock().unwrap().push(read[24..].to_vec());
            if stage == Stage::DuringAnswer {
                stream.write_all(&response(call_id(&read), &read[24..])[..30]).await.unwrap();
            }
        }
    }
    reached.send(()).await.unwrap();
    std::future::pending::<()>().await;
}

/// One attempt of a client; true where it got the right answer.
async fn attempt(bed: &Bed, stub: &[u8]) -> bool {
    let mut client = bed.client().await;
    let Some(answer) = bind_on(&mut client, &bind()).await else { return false };
    assert_eq!(kind(&answer), BIND_ACK);
    call(&mut client, 2, stub).await.as_deref() == Some(stub)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_an_upstream_that_is_killed_at_any_stage_costs_one_attempt_and_no_request_arrives_twice() {
    for stage in [Stage::Idle, Stage::DuringBind, Stage::DuringRequest, Stage::MidFragment, Stage::DuringAnswer] {
        let stubs = Arc::new(Mutex::new(Vec::new()));
        let (reached, mut at_stage) = mpsc::channel(4);
        let noted = Arc::clone(&stubs);
        let mut first =
            Scripted::new(move |stream| serve_until(stage, stream, Arc::clone(&noted), reached.clone())).await;
        let second = Server::new().await;
        let bed = Bed::with(listen().await, group(&[first.address, second.address]), Timeouts::default(), false).await;

        // Longer than a read, so that the middle of a fragment is reached.
        let stub = |attempt: u8| vec![attempt; 40_000];
        let began = Instant::now();
        let killing = async {
            timeout(DEADLINE, at_stage.recv()).await.unwrap().unwrap();
            first.kill().await;
        };
        let first_stub = stub(1);
        let (_, mut is_served) = tokio::join!(killing, attempt(&bed, &first_stub));
        let mut attempts = 1;
        while !is_served {
            attempts += 1;
            is_served = attempt(&bed, &stub(attempts)).await;
        }
        println!("{stage:?}: served after {:?}, attempt {attempts}", began.elapsed());
        let expected = if stage == Stage::DuringBind { 1 } else { 2 };
        assert_eq!(attempts, expected, "{stage:?}: only before the bind_ack another upstream is tried");
        let mut all = stubs.lock().unwrap().clone();
        all.extend(second.stubs.lock().unwrap().clone());
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "{stage:?}: a request arrived twice");
        assert!(bed.seen.failures.lock().unwrap().iter().all(|(upstream, _)| upstream.address == first.address.into()));
    }
}

#[tokio::test]
async fn g4_a_client_whose_associations_all_fail_takes_no_upstream_out() {
    // Answers probes, and resets every client after its request.
    let upstream = Scripted::new(|mut stream| async move {
        let Some(read) = read_pdu(&mut stream).await else { return };
        let _gone = stream.write_all(&ack_of(Order::Little, BIND_ACK, call_id(&read), 1, 1)).await;
        let _request = read_pdu(&mut stream).await;
        let _gone = stream.set_zero_linger();
    })
    .await;
    let bed = Bed::new(group(&[upstream.address])).await;
    bed.healthy(&[upstream.address]).await;
    for _ in 0..1000 {
        let mut client = bed.client().await;
        bind_on(&mut client, &bind()).await.unwrap();
        assert_eq!(call(&mut client, 2, b"asked").await, None);
    }
    assert!(bed.seen.failures.lock().unwrap().len() >= 1000);
    assert_eq!(bed.state_of(upstream.address), State::Healthy);
    let probes = *bed.seen.probes.lock().unwrap();
    assert!(probes < 200, "{probes} probes: a probe a second at most");
    assert!(bed.seen.states.lock().unwrap().iter().all(|(_, state, _)| *state == State::Healthy));
}

#[tokio::test]
async fn g2_an_association_group_goes_to_the_upstream_that_issued_it() {
    let (first, second) = (Server::on(listen().await, 71), Server::on(listen().await, 72));
    let bed = Bed::with(listen().await, group(&[first.address, second.address]), Timeouts::default(), false).await;
    let name = gateway::GroupName::default_group();
    bed.gateway.set_preferred(&name, Some(second.address.into()));
    let mut client = bed.client().await;
    let ack = bind_on(&mut client, &bind()).await.unwrap();
    assert_eq!(ack[20], 72);
    // The preference moves, and the client's second association stays with the issuer of its group.
    bed.gateway.set_preferred(&name, Some(first.address.into()));
    let of_group = crate::pdus::bind_of(Order::Little, BIND, 1, 72, 1);
    let mut other = bed.client().await;
    let ack = bind_on(&mut other, &of_group).await.unwrap();
    assert_eq!(ack[20], 72);
    drop((client, other));
    until("both have ended", || bed.seen.ended.lock().unwrap().len() == 2).await;
    let mut last = bed.client().await;
    let ack = bind_on(&mut last, &of_group).await.unwrap();
    assert_eq!(ack[20], 71, "without an open association of the group, the preferred upstream answers");
}

#[tokio::test]
async fn g2_a_refusal_of_every_upstream_reaches_the_client() {
    let refusing = |reason: u8| {
        Scripted::new(move |mut stream| async move {
            if let Some(read) = read_pdu(&mut stream).await {
                let _gone = stream.write_all(&crate::pdus::nak(call_id(&read), reason)).await;
            }
        })
    };
    let (first, second) = (refusing(1).await, refusing(2).await);
    let bed = Bed::with(listen().await, group(&[first.address, second.address]), Timeouts::default(), false).await;
    let mut client = bed.client().await;
    let answer = bind_on(&mut client, &bind()).await.unwrap();
    assert_eq!((kind(&answer), answer[16]), (BIND_NAK, 2));
    until("the end is told", || !bed.seen.ended.lock().unwrap().is_empty()).await;
    assert_eq!(bed.seen.ended.lock().unwrap()[0].ending, Ending::Refused);
    assert_eq!(bed.seen.failure_kinds(), [Failure::Refused, Failure::Refused]);
}

#[tokio::test]
async fn a_stopping_node_closes_idle_associations_and_lets_calls_finish() {
    let (answer, mut wait) = mpsc::channel::<()>(1);
    let gate = Arc::new(tokio::sync::Mutex::new(Some(answer)));
    let (release, released) = tokio::sync::watch::channel(false);
    let upstream = Scripted::new(move |mut stream| {
        let (gate, mut released) = (Arc::clone(&gate), released.clone());
        async move {
            let Some(read) = read_pdu(&mut stream).await else { return };
            stream.write_all(&ack_of(Order::Little, BIND_ACK, call_id(&read), 1, 1)).await.unwrap();
            let Some(read) = read_pdu(&mut stream).await else { return };
            gate.lock().await.take();
            released.wait_for(|released| *released).await.unwrap();
            stream.write_all(&response(call_id(&read), &read[24..])).await.unwrap();
            let _end = read_pdu(&mut stream).await;
        }
    })
    .await;
    let bed = Bed::with(listen().await, group(&[upstream.address]), Timeouts::default(), false).await;
    let (mut idle, mut busy) = (bed.client().await, bed.client().await);
    bind_on(&mut idle, &bind()).await.unwrap();
    bind_on(&mut busy, &bind()).await.unwrap();
    busy.write_all(&request(2, b"slow")).await.unwrap();
    assert_eq!(timeout(DEADLINE, wait.recv()).await.unwrap(), None, "the request arrived");
    bed.stop.send_replace(true);
    assert_eq!(read_pdu(&mut idle).await, None);
    release.send_replace(true);
    assert_eq!(read_pdu(&mut busy).await, Some(response(2, b"slow")));
    assert_eq!(read_pdu(&mut busy).await, None);
    until("both have ended", || bed.seen.ended.lock().unwrap().len() == 2).await;
    assert!(bed.seen.ended.lock().unwrap().iter().all(|end| end.ending == Ending::Stopped));
}
