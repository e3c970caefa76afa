use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over bytes on the terminal; nothing where there is none, or where a machine reads.
pub(super) fn bytes(total: Option<u64>, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => {
            (ProgressBar::new(total), "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec} {msg}"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is fixed"))
}

/// A count of rows on the terminal; nothing where there is none, or where a machine reads.
pub(super) fn rows(quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {human_pos} rows {per_sec} {msg}");
    ProgressBar::new_spinner().with_style(style.expect("the template is fixed"))
}
