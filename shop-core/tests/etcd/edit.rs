use shop_core::config::{EditError, Editor, Loader};

use xtask::servers::Etcd;

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
    let revision = revision.revision.unwrap();
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

#[tokio::test]
async fn a_file_is_applied_whole() {
    let place = Place::shared();
    let editor = editor(&place);
    editor.set("common", &[set("limits.low", "7"), set("names.old", "x")]).await.unwrap();
    let text =
        "list = [1, 2]\n[limits]\nlow = 7\n[names]\nnumber = \"007\"\nplain = \"a b\"\ntruth = \"true\"\n";
    let planned = editor.apply("common", "new.toml", text, false).await.unwrap();
    let key = |below: &str| place.key(&format!("common/{below}"));
    let written: Vec<String> = ["list", "names/number", "names/plain", "names/truth"].map(key).into();
    assert_eq!(
        (planned.revision, &planned.written, &planned.deleted),
        (None, &written, &vec![key("names/old")])
    );
    assert!(place.load().await.unwrap().0.current().value.names.contains_key("old"), "it was a trial");

    let done = editor.apply("common", "new.toml", text, true).await.unwrap();
    assert_eq!((&done.written, &done.deleted), (&planned.written, &planned.deleted));
    let live = place.load().await.unwrap().0;
    let config = &live.current().value;
    assert_eq!((config.limits.low, &config.list[..]), (7, &[1, 2][..]));
    let names: Vec<_> = config.names.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(names, ["number=007", "plain=a b", "truth=true"], "strings stay strings");
    assert_eq!(
        live.current().origin("names.plain").to_string(),
        format!("{}@{}", key("names/plain"), done.revision.unwrap())
    );
    let again = editor.apply("common", "new.toml", text, true).await.unwrap();
    assert_eq!((again.revision, again.written.len() + again.deleted.len()), (None, 0), "nothing differs");

    let before = place.fresh().await;
    let broken = editor.apply("common", "new.toml", "a = 1\n[limits\n", true).await.unwrap_err();
    assert!(broken.to_string().starts_with("new.toml:2: "), "{broken}");
    let refused = editor.apply("common", "new.toml", "[limits]\nlow = 70\n", true).await.unwrap_err();
    assert!(refused.to_string().contains(&key("limits/low")), "{refused}");
    let elsewhere = editor.apply("common", "new.toml", "[etcd]\nprefix = '/x'\n", true).await.unwrap_err();
    assert!(elsewhere.to_string().contains("where etcd is"), "{elsewhere}");
    let nothing = editor.apply("common", "new.toml", "[limits]\n[names]\na = 'x'\n", true).await.unwrap_err();
    assert!(nothing.to_string().starts_with("new.toml:1: limits: is an empty table"), "{nothing}");
    assert_eq!(place.fresh().await, before);
}

#[tokio::test]
async fn what_is_deleted_meanwhile_is_noticed() {
    let place = Place::shared();
    for _ in 0..20 {
        place.put("common/limits/high", "20").await;
        place.delete("common/limits/low").await;
        // Each is good by itself, and both together are not: the file's high is 10.
        let (a, b) = (editor(&place), editor(&place));
        let (unset, raise) = ([("limits.high".to_owned(), None)], [set("limits.low", "15")]);
        let (a, b) = tokio::join!(a.set("common", &unset), b.set("common", &raise));
        assert_eq!([&a, &b].into_iter().filter(|outcome| outcome.is_ok()).count(), 1, "{a:?} {b:?}");
        for outcome in [a, b] {
            assert!(
                matches!(outcome, Ok(_) | Err(EditError::Raced | EditError::Refused { .. })),
                "{outcome:?}"
            );
        }
        place.fresh().await;
    }
}

#[tokio::test]
async fn what_was_is_told_without_secrets_and_can_be_gone_back_to() {
    // Of its own, since it is compacted.
    let server = Etcd::start().unwrap();
    let place = Place::on(&server.endpoint());
    let editor = editor(&place);
    let first = editor.set("common", &[set("limits.low", "7"), set("names.a", "x")]).await.unwrap();
    editor.set("other", &[set("names.b", "not of app")]).await.unwrap();
    editor.set("app", &[set("token", "hunter2")]).await.unwrap();
    // As others write, who check nothing: a bad one too.
    let bad = place.put("common/limits/low", "70").await;
    place.delete("common/names/a").await;
    editor.set("common", &[set("limits.low", "8")]).await.unwrap();

    let history = editor.history("app", 100).await.unwrap();
    assert_eq!(history.since, 0);
    let told: Vec<String> = history
        .changes
        .iter()
        .map(|past| match &past.changed {
            Ok(changed) => changed.iter().map(|changed| changed.path.as_str()).collect::<Vec<_>>().join(" "),
            Err(errors) => errors.to_string().lines().next().unwrap_or_default().to_owned(),
        })
        .collect();
    assert_eq!(told, ["limits.low names names.a", "token", "limits.low", "names names.a", "limits.low"]);
    assert_eq!(history.changes[0].revision, first.revision.unwrap());
    assert_eq!(history.changes[2].revision, bad);
    assert_eq!(history.changes[2].keys, [place.key("common/limits/low")]);
    let shown = format!("{history:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(editor.history("app", 2).await.unwrap().changes.len(), 2);

    let planned = editor.rollback(first.revision.unwrap(), false).await.unwrap();
    let done = editor.rollback(first.revision.unwrap(), true).await.unwrap();
    assert_eq!((&planned.written, &planned.deleted), (&done.written, &done.deleted));
    assert_eq!(done.deleted, [place.key("app/token"), place.key("other/names/b")]);
    let config = place.load().await.unwrap().0;
    let config = &config.current().value;
    assert_eq!((config.limits.low, config.names["a"].as_str()), (7, "x"));
    assert!(config.token.is_none());
    let refused = editor.rollback(bad, true).await.unwrap_err();
    assert!(matches!(refused, EditError::Refused { .. }), "{refused}");

    // From here on etcd knows nothing older.
    let compacted = place.put("common/limits/low", "9").await;
    place.client().await.compact(compacted, None).await.unwrap();
    let last = place.put("common/limits/low", "10").await;
    let history = editor.history("app", 100).await.unwrap();
    assert_eq!(history.since, compacted);
    assert_eq!(history.changes.iter().map(|past| past.revision).collect::<Vec<_>>(), [last]);
    let forgotten = editor.rollback(bad, true).await.unwrap_err();
    assert!(forgotten.to_string().contains("compacted"), "{forgotten}");
}
