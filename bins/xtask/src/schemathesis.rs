//! Both services against their own OpenAPI documents, by schemathesis: no answer of the 5xx, none that is not documented.

use std::process::Command;

use crate::python;
use crate::run::{self, Result, tools_dir};
use crate::server::Shop;

/// What must hold of every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
     response_headers_conformance,unsupported_method,negative_data_rejection";

/// Starts a shop and checks its products and its orders.
pub(crate) fn run() -> Result {
    let programs = python::environment()?;
    let shop = Shop::start("schemathesis")?;
    for service in [&shop.products, &shop.orders] {
        run::run(
            Command::new(programs.join("schemathesis"))
                // It leaves a folder where it runs.
                .current_dir(tools_dir())
                .args(["run", &format!("{service}/openapi.json"), "--checks", CHECKS])
                .args(["--max-examples", "40", "--seed", "7", "--request-timeout", "20"])
                .args(["--phases", "examples,coverage,fuzzing", "--no-color"]),
        )?;
    }
    eprintln!("xtask: {} and {} answer as their documents say", shop.products, shop.orders);
    Ok(())
}
