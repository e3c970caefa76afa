use serde_json::json;

use crate::support::{On, lines_of, on_every_store, target};

on_every_store!(
    a_cancelled_order_gives_its_stock_back,
    a_shipped_order_leaves_the_warehouse,
    any_other_move_is_refused,
    a_deleted_order_is_in_no_list,
    an_action_takes_no_body,
);

async fn a_cancelled_order_gives_its_stock_back(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 4)]).await;
    assert_eq!(shop.stock("A").await, (10, 4));
    shop.wait(9);
    let reply = shop.action(&order, "cancel").send().await;
    let cancelled = reply.ok(200);
    assert_eq!(reply.header("etag"), Some("\"2\""));
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["cancelled_at"], shop.now().to_string());
    assert_eq!(cancelled["updated_at"], shop.now().to_string());
    assert_eq!(shop.again(&order).await, cancelled);
    shop.stock_becomes("A", (10, 0)).await;
}

async fn a_shipped_order_leaves_the_warehouse(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 4)]).await;
    shop.wait(9);
    let shipped = shop.action(&order, "ship").send().await.ok(200);
    assert_eq!(
        (&shipped["status"], &shipped["shipped_at"]),
        (&json!("shipped"), &json!(shop.now().to_string()))
    );
    shop.stock_becomes("A", (6, 0)).await;
    shop.wait(9);
    let delivered = shop.action(&order, "deliver").send().await.ok(200);
    assert_eq!((&delivered["status"], &delivered["version"]), (&json!("delivered"), &json!(3)));
    assert_eq!(delivered["delivered_at"], shop.now().to_string());
    assert_eq!(delivered["shipped_at"], shipped["shipped_at"]);
    assert_eq!(shop.stock("A").await, (6, 0));
}

async fn any_other_move_is_refused(on: On) {
    let shop = on.shop().await;
    shop.product("A", 100, "1 EUR").await;
    let table = [
        (&[][..], "placed", &["deliver"][..]),
        (&["ship"], "shipped", &["ship", "cancel"]),
        (&["ship", "deliver"], "delivered", &["ship", "deliver", "cancel"]),
        (&["cancel"], "cancelled", &["ship", "deliver", "cancel"]),
    ];
    for (way, from, refused) in table {
        let order = shop.order(&[("A", 1)]).await;
        for step in way {
            shop.action(&order, step).send().await.ok(200);
        }
        let before = shop.again(&order).await;
        assert_eq!(before["status"], from);
        for action in refused {
            let problem = shop.action(&order, action).send().await.problem(409, "illegal_transition");
            let to = match *action {
                "ship" => "shipped",
                "deliver" => "delivered",
                _ => "cancelled",
            };
            assert_eq!((&problem["from"], &problem["to"]), (&json!(from), &json!(to)));
        }
        if from != "placed" {
            for patch in [json!({"reference": "x"}), json!({"lines": lines_of(&[("A", 2)])})] {
                let problem = shop.patch(&order, &patch).send().await.problem(409, "illegal_transition");
                assert_eq!((&problem["from"], &problem["to"]), (&json!(from), &json!("placed")));
            }
        }
        assert_eq!(shop.again(&order).await, before);
    }
}

async fn a_deleted_order_is_in_no_list(on: On) {
    let shop = on.shop().await;
    shop.product("A", 100, "1 EUR").await;
    for (way, status) in [
        (&[][..], "placed"),
        (&["ship"], "shipped"),
        (&["ship", "deliver"], "delivered"),
        (&["cancel"], "cancelled"),
    ] {
        let order = shop.order(&[("A", 1)]).await;
        for step in way {
            shop.action(&order, step).send().await.ok(200);
        }
        let reply = shop.delete(&order).send().await;
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{status}");
        let history = format!("{}/history", target(&order));
        for call in [
            shop.get(&target(&order)),
            shop.get(&history),
            shop.delete(&order),
            shop.action(&order, "cancel"),
            shop.patch(&order, &json!({"reference": "x"})),
        ] {
            call.send().await.problem(404, "not_found");
        }
    }
    let list = shop.get("/v1/orders?include=total").send().await.ok(200);
    assert_eq!(list, json!({"data": [], "next_cursor": null, "total": 0}));
    // Two of four were shipped; what was only placed, or cancelled, is back.
    shop.stock_becomes("A", (98, 0)).await;
}

async fn an_action_takes_no_body(on: On) {
    let shop = on.shop().await;
    shop.product("A", 100, "1 EUR").await;
    let order = shop.order(&[("A", 1)]).await;
    for body in ["{\"reason\":\"none\"}", "[]", "null", "x"] {
        let call = shop.action(&order, "cancel").body("application/json", body);
        call.send().await.problem(400, "invalid_body");
    }
    assert_eq!(shop.again(&order).await, order);
    shop.action(&order, "ship").body("application/json", " {} ").send().await.ok(200);
    shop.action(&order, "deliver").body("application/json", "").send().await.ok(200);
}
