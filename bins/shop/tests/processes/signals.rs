use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::product;
use crate::support::eventually;
use crate::support::shop::Shop;

/// A request whose body has not come yet: its connection, and the rest of it.
async fn half_a_request(address: &str) -> (TcpStream, String) {
    let address = address.strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let body = product("HALF", 1).to_string();
    let head = format!(
        "POST /v1/products HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\n\r\n",
        body.len(),
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The request is being worked on once its body is asked for.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&body.as_bytes()[..5]).await.unwrap();
    (stream, body[5..].to_owned())
}

/// Waits until the admin address says that the process is draining.
async fn draining(shop: &Shop) {
    let operator = shop.operator();
    eventually("draining", async || operator.get("/readyz").await.status == 503).await;
    assert_eq!(operator.get("/healthz").await.status, 200, "it is alive");
}

#[tokio::test]
async fn a_signal_lets_what_runs_finish_and_ends_with_0() {
    for signal in ["TERM", "INT"] {
        for through_the_gateway in [true, false] {
            let shop = Shop::start(&[]);
            let address = if through_the_gateway { &shop.gateway } else { &shop.products };
            let (mut stream, rest) = half_a_request(address).await;
            shop.process.signal(signal);
            draining(&shop).await;
            for address in [&shop.gateway, &shop.orders, &shop.products] {
                let address = address.strip_prefix("http://").unwrap();
                eventually("no new connection is taken", async || TcpStream::connect(address).await.is_err())
                    .await;
            }
            stream.write_all(rest.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 201 "), "{signal}: {answer}");
            let (ended, dir) = shop.stopped();
            assert_eq!((ended.code, &*ended.err), (0, ""), "{signal}: {ended:?}");
            let shop = Shop::start_in(&dir.unwrap().path().join("data"), &[]);
            assert_eq!(shop.client().stock("HALF").await, (1, 0, 1));
        }
    }
}

#[tokio::test]
async fn a_request_that_does_not_end_is_broken_off_at_the_deadline() {
    let shop = Shop::start(&[("SHOP__PROCESS__DRAIN", "300ms")]);
    let (_stream, _) = half_a_request(&shop.gateway).await;
    shop.process.signal("TERM");
    let (ended, _) = shop.stopped();
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_with_1() {
    let shop = Shop::start(&[]);
    let (_stream, _) = half_a_request(&shop.gateway).await;
    shop.process.signal("TERM");
    draining(&shop).await;
    shop.process.signal("INT");
    let (ended, _) = shop.stopped();
    assert_eq!(ended.code, 1, "{ended:?}");
}

#[tokio::test]
async fn a_hangup_does_not_end_it() {
    let mut shop = Shop::start(&[]);
    shop.process.signal("HUP");
    let logs = shop.data().join("logs");
    eventually("the log says so", async || crate::logs::read(&logs).contains("the files are read again"))
        .await;
    shop.client().get("/v1/products").await.ok(200);
    assert!(shop.process.is_running());
    assert_eq!(shop.stop().0.code, 0);
}

/// What is on disk after a clean end is whole: no log beside the database, so that a copy of one file is a backup.
#[tokio::test]
async fn a_clean_end_leaves_whole_files() {
    let shop = Shop::start(&[]);
    let client = shop.client();
    client.product("A", 5).await;
    let order = client.order(&[("A", 2)]).await;
    let (ended, dir) = shop.stop();
    assert_eq!(ended.code, 0);
    let data = dir.as_ref().unwrap().path().join("data");
    let mut files: Vec<_> = std::fs::read_dir(&data)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["logs", "orders.db", "products.db"]);
    let shop = Shop::start_in(&data, &[]);
    let list = shop.client().get("/v1/orders").await.ok(200);
    assert_eq!(list["data"], json!([order]));
}
