//! What GUARANTEES.md promises is shown by tests that are there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};

/// Where the checks of the suites are listed, each of which is a test on every store.
const SUITES: &[&str] = &[
    "shop-orders/src/testing/mod.rs",
    "shop-products/src/testing/store_suite.rs",
    "shop-products/src/testing/catalog_suite.rs",
];

/// Macros that make tests of the functions that they name.
const MACROS: &[&str] = &["in_every_setting!(", "on_every_store!("];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The `file::test` names of a text.
fn named(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).filter(|code| code.contains(".rs::")).collect()
}

fn lists(text: &str, test: &str) -> bool {
    text.split([',', '[', ' ', '\n', ';']).any(|word| word == test)
}

/// Why a `file::test` is none.
fn fault(name: &str) -> Option<String> {
    let (file, test) = name.split_once("::").unwrap();
    let Ok(text) = fs::read_to_string(root().join(file)) else {
        return Some(format!("{name}: there is no such file"));
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = [format!("fn {test}("), format!("fn {test}<")];
    let found = lines.iter().position(|line| begins.iter().any(|begin| line.contains(begin)));
    let Some(found) = found else { return Some(format!("{name}: the file has no such test")) };
    let mut above = lines[..found].iter().rev().take_while(|line| line.starts_with("#["));
    let is_test = above.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    let is_check = || {
        let suites = SUITES.iter().map(|suite| fs::read_to_string(root().join(suite)).unwrap());
        file.contains("/src/testing/") && suites.into_iter().any(|suite| lists(&suite, test))
    };
    let in_macro = |name: &str| {
        let list = text.split(name).nth(1).and_then(|rest| rest.split(')').next());
        list.is_some_and(|list| lists(list, test))
    };
    let runs = is_test || MACROS.iter().any(|name| in_macro(name)) || is_check();
    (!runs).then(|| format!("{name}: nothing runs it"))
}

#[test]
fn every_test_that_is_named_is_there() {
    let page = fs::read_to_string(root().join("GUARANTEES.md")).unwrap();
    let faults: Vec<_> = named(&page).into_iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_line_of_a_table_names_a_test() {
    let page = fs::read_to_string(root().join("GUARANTEES.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with('|') && !line.starts_with("|--"));
    let mut count = 0;
    for row in rows.filter(|row| !row.ends_with("| shown by |")) {
        count += 1;
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap();
        assert!(!named(last).is_empty(), "nothing shows it: {row}");
    }
    assert!(count > 20, "the tables are read: {count}");
}

#[test]
fn a_name_that_is_no_test_is_told() {
    let here = "bins/xtask/tests/guarantees.rs";
    assert_eq!(fault(&format!("{here}::a_name_that_is_no_test_is_told")), None);
    for (name, why) in [
        ("bins/xtask/tests/nowhere.rs::x".to_owned(), "no such file"),
        (format!("{here}::nothing_of_this_name"), "no such test"),
        (format!("{here}::root"), "nothing runs it"),
    ] {
        let fault = fault(&name).unwrap();
        assert!(fault.ends_with(why), "{fault}");
    }
}
