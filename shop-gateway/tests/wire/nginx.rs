//! The same cases through nginx, by hand: which of them it fails is what the tables call ours alone.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Outcome, block_on};
use crate::strict::Upstream;
use crate::support::PATIENCE;
use crate::{framing, hop_by_hop, semantics, target_host, upstream_answers};

/// One process of nginx, which ends with it.
struct Nginx {
    addr: SocketAddr,
    child: Child,
    _dir: TempDir,
}

impl Nginx {
    /// As a careful operator sets it up: connections kept, the gateway's headers overwritten.
    async fn start(upstream: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let addr = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = dir.path().display();
        let config = format!(
            "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log;
             events {{ worker_connections 512; }}
             http {{
                 access_log off; client_header_timeout 2s; client_body_timeout 2s; keepalive_timeout 2s;
                 lingering_timeout 1s; lingering_time 1s; client_max_body_size 100m; proxy_read_timeout 2s;
                 client_body_temp_path {path}/b; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f;
                 uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
                 upstream up {{ server {upstream}; keepalive 8; }}
                 server {{
                     listen {addr};
                     location / {{
                         proxy_pass http://up; proxy_http_version 1.1; proxy_next_upstream off;
                         proxy_set_header Connection \"\"; proxy_set_header Host $host;
                         proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Host $host;
                         proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id;
                         proxy_set_header Forwarded \"\"; proxy_set_header X-Real-IP \"\";
                     }}
                 }}
             }}"
        );
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("nginx")
            .args(["-c", file.to_str().unwrap(), "-e", dir.path().join("error.log").to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is not installed");
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(addr).await.is_err() {
            assert!(Instant::now() < until, "nginx does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { addr, child, _dir: dir }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line of what a test said when it failed.
fn holds(test: impl FnOnce()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(test)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        text.lines().take(3).collect::<Vec<_>>().join(" ").chars().take(160).collect()
    })
}

#[test]
#[ignore = "by hand: needs nginx 1.22"]
fn nginx_does_as_the_tables_say() {
    let tables = [
        ("framing", framing::all()),
        ("target_host", target_host::all()),
        ("hop_by_hop", hop_by_hop::all()),
        ("semantics", semantics::all()),
    ];
    let mut outcomes = Vec::new();
    for (table, cases) in tables {
        for (name, case) in cases {
            let outcome = block_on(async {
                let upstream = Upstream::start().await;
                let nginx = Nginx::start(upstream.addr).await;
                let (answers, fault) = case.play(nginx.addr, usize::MAX).await;
                drop(nginx);
                Outcome { answers, fault, seen: upstream.finish().await }
            });
            outcomes.push((format!("{table}::{name}"), case.ours_alone, holds(|| case.judge(&outcome))));
        }
    }
    for (name, answer) in upstream_answers::all() {
        let held = holds(|| {
            block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let nginx = Nginx::start(listener.local_addr().unwrap()).await;
                let upstream = tokio::spawn(answer.upstream(listener));
                answer.play(nginx.addr).await;
                upstream.abort();
            });
        });
        outcomes.push((format!("upstream_answers::{name}"), answer.ours_alone, held));
    }
    let mut wrong = 0;
    for (name, ours_alone, held) in &outcomes {
        if let Err(why) = held {
            println!("nginx fails {name}: {why}");
        }
        if *ours_alone == held.is_ok() {
            wrong += 1;
            println!("MARKED WRONGLY: {name} is {}ours alone", if *ours_alone { "not " } else { "" });
        }
    }
    let failed = outcomes.iter().filter(|(_, _, held)| held.is_err()).count();
    println!("{} cases, of which nginx fails {failed}", outcomes.len());
    assert_eq!(wrong, 0, "cases are marked wrongly");
}
