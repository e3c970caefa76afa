use serde_json::Value;

use crate::support::shop::Shop;

/// What the gateway refuses of a body while a service of its own process reads it is not a body that the client broke off.
#[tokio::test]
async fn the_gateways_limits_of_a_body_are_told_by_the_service_that_reads_it() {
    let shop = Shop::start(&[
        ("SHOP__GATEWAY__LIMITS__MAX_BODY", "16KiB"),
        ("SHOP__GATEWAY__LIMITS__BODY_TIMEOUT", "300ms"),
    ]);
    let head = "POST /v1/orders HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    for (endless, status, code) in [(true, "413", "body_too_large"), (false, "408", "request_timeout")] {
        let answer = shop.client().raw("/v1/orders", head.to_owned(), endless).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
        let problem: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!((&problem["code"], &problem["status"].to_string()), (&code.into(), &status.to_owned()));
    }
}
