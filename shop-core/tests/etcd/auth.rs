use std::time::Duration;

use etcd_client::{ConnectOptions, Permission};
use shop_core::config::LiveError;
use xtask::servers::Etcd;

use super::support::{Place, client, put, until};

/// An etcd that asks for a user: `root`, and `shop`, who may read below the prefix. Their password is `secret`.
async fn guarded(server: &Etcd, place: &Place) {
    let mut root = client(&server.endpoint(), None).await;
    root.role_add("root").await.unwrap();
    root.user_add("root", "secret", None).await.unwrap();
    root.user_grant_role("root", "root").await.unwrap();
    root.role_add("reader").await.unwrap();
    let below = Permission::read(format!("{}/", place.prefix)).with_prefix();
    root.role_grant_permission("reader", below).await.unwrap();
    root.user_add("shop", "secret", None).await.unwrap();
    root.user_grant_role("shop", "reader").await.unwrap();
    root.auth_enable().await.unwrap();
}

async fn write(server: &Etcd, key: &str, value: &str) {
    let options = ConnectOptions::new().with_user("root", "secret");
    put(&mut client(&server.endpoint(), Some(options)).await, key, value).await;
}

#[tokio::test]
async fn a_token_that_expired_or_was_forgotten_is_renewed() {
    let mut server = Etcd::start_with_token_ttl(1).unwrap();
    let mut place = Place::on(&server.endpoint());
    guarded(&server, &place).await;
    place.more = "user = 'shop'\npassword = 'secret'\n".into();
    let live = place.live().await;
    let low = place.key("common/limits/low");
    // Longer than a token lives: the test's own has to be expired for sure.
    tokio::time::sleep(Duration::from_secs(4)).await;
    write(&server, &low, "2").await;
    until("the change after a rest", || live.current().value.limits.low == 2).await;
    for value in ["3", "4"] {
        // Simple tokens are forgotten by a server that was restarted.
        server.process().kill();
        until("it is lost", || live.status().lost.is_some()).await;
        server.restart().unwrap();
        until("it is watched", || live.status().watching).await;
        write(&server, &low, value).await;
        until("the change", || live.current().value.limits.low.to_string() == value).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_a_fault_that_does_not_show_it() {
    let server = Etcd::start().unwrap();
    let mut place = Place::on(&server.endpoint());
    guarded(&server, &place).await;
    place.more = "user = 'shop'\npassword = 'canary-4711'\n".into();
    let error = place.load().await.unwrap_err();
    assert!(matches!(error, LiveError::Unreachable { .. }), "{error:?}");
    let said = format!("{error} {error:?}");
    assert!(said.contains("authentication failed") && !said.contains("canary"), "{said}");
    place.more.clear();
    let error = place.load().await.unwrap_err().to_string();
    assert!(error.contains("user name is empty"), "{error}");
}
