//! Signals and exit codes, of a real process: this binary starts itself as the child.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;

use shop_core::process::{Failure, on_hangup, run};
use tokio::sync::Notify;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("child-serves") => run("child", 1, |shutdown| async move {
            let reloaded = Arc::new(Notify::new());
            let hangup = reloaded.clone();
            on_hangup(move || {
                let hangup = hangup.clone();
                async move { hangup.notify_one() }
            })
            .map_err(|e| Failure::fault(&e))?;
            println!("ready");
            reloaded.notified().await;
            println!("reloaded");
            shutdown.cancelled().await;
            Ok(())
        }),
        Some("child-hangs") => run("child", 1, |shutdown| async move {
            println!("ready");
            shutdown.cancelled().await;
            println!("draining");
            std::future::pending().await
        }),
        Some("child-misconfigured") => {
            run("child", 0, |_| async { Err(Failure::Config("a.toml:1: bad\na.toml:2: worse".into())) })
        }
        Some("child-fails") => run("child", 0, |_| async { Err(Failure::Fault("no disk".into())) }),
        #[cfg(unix)]
        Some("child-opens") => run("child", 1, |_| async {
            let opened: std::io::Result<Vec<_>> =
                (0..200).map(|_| std::fs::File::open("/dev/null")).collect();
            opened.map(drop).map_err(|e| Failure::fault(&e))
        }),
        // Anything else is an argument of the test runner.
        _ => {
            exit_codes();
            signals();
            #[cfg(unix)]
            open_files();
            println!("test process ... ok");
            ExitCode::SUCCESS
        }
    }
}

fn child(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
    command.arg(role);
    command
}

fn exit_codes() {
    for (role, code, stderr) in [
        ("child-misconfigured", 64, "child: a.toml:1: bad\na.toml:2: worse\n"),
        ("child-fails", 1, "child: no disk\n"),
    ] {
        let output = child(role).output().expect("the child starts");
        assert_eq!(output.status.code(), Some(code), "{role}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), stderr);
    }
}

fn signals() {
    for signal in ["TERM", "INT"] {
        let (mut process, mut lines) = start("child-serves");
        assert_eq!(next(&mut lines), "ready");
        kill("HUP", &process);
        assert_eq!(next(&mut lines), "reloaded");
        kill(signal, &process);
        assert_eq!(process.wait().expect("it ends").code(), Some(0), "{signal}");
    }
    let (mut process, mut lines) = start("child-hangs");
    assert_eq!(next(&mut lines), "ready");
    kill("TERM", &process);
    assert_eq!(next(&mut lines), "draining");
    kill("TERM", &process);
    assert_eq!(process.wait().expect("it ends").code(), Some(1), "a second signal does not wait");
}

/// With the limit of a shell that is lower than what it needs.
#[cfg(unix)]
fn open_files() {
    let limited = ["-c", "ulimit -Sn 100 && exec \"$0\" child-opens"];
    let child = std::env::current_exe().expect("the test's own path");
    let output = Command::new("sh").args(limited).arg(child).output().expect("the child starts");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

type Lines = std::io::Lines<BufReader<std::process::ChildStdout>>;

fn start(role: &str) -> (Child, Lines) {
    let mut process = child(role).stdout(Stdio::piped()).spawn().expect("the child starts");
    let stdout = process.stdout.take().expect("it is piped");
    (process, BufReader::new(stdout).lines())
}

fn next(lines: &mut Lines) -> String {
    lines.next().expect("a line").expect("text")
}

fn kill(signal: &str, process: &Child) {
    let status = Command::new("kill").args([format!("-{signal}"), process.id().to_string()]).status();
    assert!(status.expect("kill runs").success());
}
