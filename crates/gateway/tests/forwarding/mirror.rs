//! Requests that go to the other upstreams as well (G5).

use gateway::{Group, State};
use tokio::{io::AsyncWriteExt as _, time::Instant};

use crate::{
    bed::{Bed, Scripted, Server, group, listen, until},
    pdus::{
        ALTER, BIND, BIND_ACK, Order, REQUEST, ack_of, bind, bind_of, bind_on, call, call_id, pdu_of, read_pdu,
        request, response,
    },
};

fn mirrored(addresses: &[std::net::SocketAddr]) -> Group {
    Group { mirror: true, ..group(addresses) }
}

#[tokio::test]
async fn g5_a_mirror_gets_the_same_requests_and_alter_contexts_on_an_association_of_its_own() {
    let (chosen, mirror) = (Server::on(listen().await, 5), Server::on(listen().await, 6));
    let bed = Bed::new(mirrored(&[chosen.address, mirror.address])).await;
    bed.healthy(&[chosen.address, mirror.address]).await;
    let mut client = bed.client().await;
    bind_on(&mut client, &bind_of(Order::Little, BIND, 1, 0, 3)).await.unwrap();
    for number in 2..6u8 {
        assert_eq!(call(&mut client, number.into(), &[number; 700]).await, Some(vec![number; 700]));
    }
    client.write_all(&bind_of(Order::Little, ALTER, 9, 0, 2)).await.unwrap();
    read_pdu(&mut client).await.unwrap();
    let fragments =
        [pdu_of(Order::Little, REQUEST, 1, 10, 0, &[3; 5000]), pdu_of(Order::Little, REQUEST, 2, 10, 0, &[4; 100])];
    client.write_all(&fragments.concat()).await.unwrap();
    read_pdu(&mut client).await.unwrap();
    drop(client);
    until("the mirror has all", || bed.seen.mirror_count("answered") == 5).await;
    until("the associations have ended", || bed.gateway.mirror_bytes() == 0).await;
    assert_eq!(mirror.received.lock().unwrap().clone(), chosen.received.lock().unwrap().clone());
    assert_eq!(bed.seen.mirror_count("dropped"), 0);
    let status = bed.gateway.status();
    assert_eq!(status.upstreams.iter().map(|upstream| upstream.counts.mirrored).sum::<u64>(), 5);
}

#[tokio::test]
async fn g5_without_the_setting_and_with_authentication_nothing_is_mirrored() {
    for is_on in [false, true] {
        let (chosen, other) = (Server::new().await, Server::new().await);
        let bed = Bed::new(Group { mirror: is_on, ..group(&[chosen.address, other.address]) }).await;
        bed.healthy(&[chosen.address, other.address]).await;
        let mut client = bed.client().await;
        let mut authenticated = bind();
        if is_on {
            authenticated.extend_from_slice(&[10, 6, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
            let length = u16::try_from(authenticated.len()).unwrap().to_le_bytes();
            authenticated[8..10].copy_from_slice(&length);
            authenticated[10] = 4;
        }
        bind_on(&mut client, &authenticated).await.unwrap();
        assert!(call(&mut client, 2, b"asked").await.is_some());
        drop(client);
        until("it has ended", || !bed.seen.ended.lock().unwrap().is_empty()).await;
        assert_eq!((chosen.requests(), other.requests()), (1, 0));
        assert!(other.received.lock().unwrap().is_empty() && bed.gateway.mirror_bytes() == 0);
    }
}

#[tokio::test]
async fn g5_a_mirror_that_never_answers_delays_no_client_and_what_it_misses_is_counted() {
    let chosen = Server::new().await;
    // Acknowledges binds, and takes requests without an answer.
    let silent = Scripted::new(|mut stream| async move {
        let Some(read) = read_pdu(&mut stream).await else { return };
        let _gone = stream.write_all(&ack_of(Order::Little, BIND_ACK, call_id(&read), 1, 1)).await;
        std::future::pending::<()>().await;
    })
    .await;
    let bed = Bed::new(mirrored(&[chosen.address, silent.address])).await;
    bed.healthy(&[chosen.address, silent.address]).await;
    let began = Instant::now();
    let mut client = bed.client().await;
    bind_on(&mut client, &bind()).await.unwrap();
    for number in 2..202 {
        assert!(call(&mut client, number, &[1; 2000]).await.is_some());
        assert!(bed.gateway.mirror_bytes() <= gateway::limits::MIRROR_ASSOCIATION_BYTES_MAX + 1000);
    }
    println!("200 requests beside a silent mirror: {:?}", began.elapsed());
    assert!(bed.seen.mirror_count("dropped") >= 150, "{}", bed.seen.mirror_count("dropped"));
    assert_eq!(bed.seen.mirror_count("answered"), 0);
    bed.stop.send_replace(true);
    drop(client);
    until("it has ended", || !bed.seen.ended.lock().unwrap().is_empty()).await;
}

#[tokio::test]
async fn g5_a_mirror_with_other_contexts_gets_no_request_and_nothing_is_replayed_after_an_outage() {
    let chosen = Server::new().await;
    let unequal = Scripted::new(|mut stream| async move {
        while let Some(read) = read_pdu(&mut stream).await {
            assert_ne!(read[2], REQUEST, "a request arrived");
            // Accepts two contexts where one was proposed.
            let _gone = stream.write_all(&ack_of(Order::Little, BIND_ACK, call_id(&read), 1, 2)).await;
        }
    })
    .await;
    let late = listen().await;
    let late_address = late.local_addr().unwrap();
    drop(late);
    let bed = Bed::new(mirrored(&[chosen.address, unequal.address, late_address])).await;
    bed.healthy(&[chosen.address, unequal.address]).await;
    until("the third is out", || bed.state_of(late_address) == State::Failing).await;
    let mut client = bed.client().await;
    bind_on(&mut client, &bind()).await.unwrap();
    for number in 2..5 {
        assert!(call(&mut client, number, b"asked").await.is_some());
    }
    until("both are counted", || bed.seen.mirror_count("dropped") == 6).await;
    let late = Server::on(tokio::net::TcpListener::bind(late_address).await.unwrap(), 1);
    bed.healthy(&[late_address]).await;
    assert!(call(&mut client, 5, b"asked").await.is_some());
    drop(client);
    let mut client = bed.client().await;
    bind_on(&mut client, &bind()).await.unwrap();
    assert!(call(&mut client, 2, b"after").await.is_some());
    until("the mirror that came back has the new request", || late.requests() == 1).await;
    assert_eq!(late.stubs.lock().unwrap().as_slice(), [b"after".to_vec()]);
}

#[tokio::test]
async fn g5_what_the_chosen_upstream_did_not_answer_is_not_mirrored() {
    let chosen = Scripted::new(|mut stream| async move {
        let Some(read) = read_pdu(&mut stream).await else { return };
        let _gone = stream.write_all(&ack_of(Order::Little, BIND_ACK, call_id(&read), 1, 1)).await;
        let Some(read) = read_pdu(&mut stream).await else { return };
        let _gone = stream.write_all(&response(call_id(&read), &read[24..])).await;
        // The second request gets half an answer.
        let Some(read) = read_pdu(&mut stream).await else { return };
        let _gone = stream.write_all(&response(call_id(&read), &read[24..])[..28]).await;
    })
    .await;
    let mirror = Server::new().await;
    let bed = Bed::new(mirrored(&[chosen.address, mirror.address])).await;
    bed.healthy(&[chosen.address, mirror.address]).await;
    let mut client = bed.client().await;
    bind_on(&mut client, &bind()).await.unwrap();
    assert!(call(&mut client, 2, b"first").await.is_some());
    client.write_all(&request(3, b"second")).await.unwrap();
    assert!(read_pdu(&mut client).await.is_none());
    until("the first is mirrored", || bed.seen.mirror_count("answered") == 1).await;
    until("the associations have ended", || bed.gateway.mirror_bytes() == 0).await;
    assert_eq!(mirror.stubs.lock().unwrap().as_slice(), [b"first".to_vec()]);
}
