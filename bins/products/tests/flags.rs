//! The server's flags and exit codes. What it does is tested with the other processes, in the tests of `shop`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::process::{Command, Output};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop-products"));
    let Output { status, stdout, stderr } =
        command.env_clear().args(arguments).envs(variables.iter().copied()).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn help_and_a_good_configuration_are_0() {
    let (code, out, err) = run(&["--help"], &[]);
    assert_eq!((code, &*err), (Some(0), ""));
    assert!(out.contains("--admin-listen"), "{out}");
    let (code, out, err) = run(&["--check"], &[]);
    assert_eq!((code, &*out, &*err), (Some(0), "products: the configuration is good\n", ""));
}

#[test]
fn a_wrong_flag_and_a_wrong_value_are_64() {
    let (code, out, err) = run(&["--products-url", "http://x"], &[]);
    assert_eq!((code, &*out), (Some(64), ""), "{err}");
    let (code, out, err) = run(&[], &[("SHOP__PRODUCTS__STORE", "nonsense")]);
    assert_eq!((code, &*out), (Some(64), ""), "{err}");
    assert!(err.contains("SHOP__PRODUCTS__STORE: products.store: "), "{err}");
}
