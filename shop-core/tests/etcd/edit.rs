use shop_core::config::{EditError, Editor, Loader};

use super::support::{Config, Place, check};

fn editor(place: &Place) -> Editor<Config> {
    place.loader().editor(&["app", "other"], |_, config| check(config)).unwrap().unwrap()
}

fn set(path: &str, value: &str) -> (String, Option<String>) {
    (path.to_owned(), Some(value.to_owned()))
}

#[tokio::test]
async fn what_a_service_would_refuse_is_not_written() {
    let place = Place::shared();
    let editor = editor(&place);
    // Either alone would be refused.
    let revision = editor.set("common", &[set("limits.high", "50"), set("limits.low", "40")]).await.unwrap();
    editor.set("app", &[set("limits.low", "7"), set("names.a", "x")]).await.unwrap();
    let live = place.load().await.unwrap().0;
    assert_eq!((live.current().value.limits.low, live.current().value.limits.high), (7, 50));
    let origin = format!("{}@{revision}", place.key("common/limits/high"));
    assert_eq!(live.current().origin("limits.high").to_string(), origin);
    let before = place.fresh().await;
    for (layer, values, key) in [
        ("common", vec![set("limits.hgih", "1")], "common/limits/hgih"),
        ("app", vec![set("list", "[1]"), set("limits.on", "perhaps")], "app/limits/on"),
        // `app` has a lower limit of its own, `other` has not.
        ("common", vec![set("limits.high", "30")], "common/limits/low"),
    ] {
        let error = editor.set(layer, &values).await.unwrap_err();
        assert!(matches!(error, EditError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(&place.key(key)), "{error}");
    }
    assert!(matches!(editor.set("nobody", &[]).await, Err(EditError::Layer(..))));
    assert_eq!(place.fresh().await, before);
    editor.set("app", &[("names.a".into(), None)]).await.unwrap();
    assert!(place.load().await.unwrap().0.current().value.names.is_empty());
}

#[tokio::test]
async fn of_those_who_set_at_the_same_time_one_wins_at_least_and_nobody_breaks_the_whole() {
    let place = Place::shared();
    let mut done = [0, 0];
    for round in 0..20 {
        // Each is good by itself, and both together are not: low 8, high 5.
        let (a, b) = (editor(&place), editor(&place));
        let (low, high) = ([set("limits.low", "8")], [set("limits.high", "5")]);
        let (a, b) = tokio::join!(a.set("common", &low), b.set("common", &high));
        for (outcome, done) in [a, b].into_iter().zip(&mut done) {
            match outcome {
                Ok(_) => *done += 1,
                Err(EditError::Raced | EditError::Refused { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(done[0] + done[1], round + 1);
        place.fresh().await;
        place.delete("common/limits/low").await;
        place.delete("common/limits/high").await;
    }
}

#[test]
fn without_an_etcd_section_there_is_nothing_to_edit() {
    assert!(Loader::new().editor::<Config>(&["app"], |_, config| check(config)).unwrap().is_none());
}
