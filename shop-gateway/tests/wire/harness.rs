//! A case: bytes that a client sends, and what must become of them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::LazyLock;

use shop_gateway::{Gateway, GatewayConfig, serve};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::strict::{Fault, Reader, Seen, Strict, Upstream};
use crate::support::{PATIENCE, config_for};

/// Shared by all cases: a runtime for each would take longer than the case.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(WORKER)
        .enable_all()
        .build()
        .unwrap()
});

/// What its threads are called.
pub const WORKER: &str = "wire";

pub fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// A gateway that ends with it.
pub struct Front {
    pub addr: SocketAddr,
    pub gateway: Gateway,
    task: JoinHandle<std::io::Result<bool>>,
}

impl Front {
    pub async fn start(config: GatewayConfig) -> Self {
        let gateway = Gateway::builder(config.clone()).build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = gateway.clone();
        let task = tokio::spawn(async move {
            serve(listener, serving, &config.gateway, std::future::pending(), PATIENCE).await
        });
        Self { addr, gateway, task }
    }

    pub async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What came of the bytes.
#[derive(Debug)]
pub struct Outcome {
    pub answers: Vec<Strict>,
    /// What in the answers is not in order, or that the connection was not closed.
    pub fault: Option<String>,
    pub seen: Seen,
}

impl Outcome {
    /// The final answers' statuses.
    pub fn statuses(&self) -> Vec<u16> {
        self.answers.iter().map(Strict::status).filter(|status| *status >= 200).collect()
    }

    /// The one request that the upstream got.
    pub fn request(&self) -> &Strict {
        assert_eq!(self.seen.served.len(), 1, "{self:#?}");
        &self.seen.served[0]
    }

    /// The answer to it.
    pub fn answer(&self) -> &Strict {
        let last = self.answers.last();
        last.unwrap_or_else(|| panic!("no answer: {self:#?}"))
    }
}

type Check = fn(&Outcome);

/// A case: bytes, and what must become of them.
pub struct Case {
    pub send: Vec<u8>,
    want: Want,
    bodyless: bool,
    check: Option<Check>,
    /// Whether nginx 1.22, set up as in [`nginx`](crate::nginx), does otherwise.
    pub ours_alone: bool,
}

enum Want {
    /// So many requests are served; then comes one of these, and the connection is closed.
    Refused { after: usize, statuses: &'static [u16] },
    /// All are served, in this order: method and target.
    Served(Vec<&'static str>),
}

/// Refused with 400.
pub fn refused(send: impl Into<Vec<u8>>) -> Case {
    let want = Want::Refused { after: 0, statuses: &[400] };
    Case { send: send.into(), want, bodyless: false, check: None, ours_alone: false }
}

/// Served, as `METHOD /target` each.
pub fn served<const N: usize>(send: impl Into<Vec<u8>>, lines: [&'static str; N]) -> Case {
    Case {
        send: send.into(),
        want: Want::Served(lines.to_vec()),
        bodyless: false,
        check: None,
        ours_alone: false,
    }
}

impl Case {
    /// Refused with one of these.
    pub fn by(mut self, allowed: &'static [u16]) -> Self {
        if let Want::Refused { statuses, .. } = &mut self.want {
            *statuses = allowed;
        }
        self
    }

    /// Refused only after so many were served.
    pub fn after(mut self, served: usize) -> Self {
        if let Want::Refused { after, .. } = &mut self.want {
            *after = served;
        }
        self
    }

    /// The answers are to HEAD.
    pub fn bodyless(mut self) -> Self {
        self.bodyless = true;
        self
    }

    /// And this holds.
    pub fn and(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// nginx 1.22, set up as in [`nginx`](crate::nginx), does otherwise.
    pub fn ours_alone(mut self) -> Self {
        self.ours_alone = true;
        self
    }

    /// Panics if the outcome is not as it must be.
    pub fn judge(&self, outcome: &Outcome) {
        assert!(outcome.seen.faults.is_empty(), "the upstream saw what it must refuse: {outcome:#?}");
        assert_eq!(outcome.fault, None, "{outcome:#?}");
        // What the gateway says it forwarded, and what the upstream counts.
        let passed_on = outcome.answers.iter().filter(|answer| answer.header("x-served").is_some()).count();
        assert_eq!(passed_on, outcome.seen.served.len(), "{outcome:#?}");
        match &self.want {
            Want::Refused { after, statuses } => {
                let got = outcome.statuses();
                assert_eq!(got.len(), after + 1, "{outcome:#?}");
                assert!(got[..*after].iter().all(|status| *status == 200), "{outcome:#?}");
                assert!(statuses.contains(&got[*after]), "{outcome:#?}");
                assert_eq!(passed_on, *after, "{outcome:#?}");
            }
            Want::Served(lines) => {
                let got: Vec<_> = outcome
                    .seen
                    .served
                    .iter()
                    .map(|request| request.start.strip_suffix(" HTTP/1.1").unwrap())
                    .collect();
                assert_eq!(got, *lines, "{outcome:#?}");
                assert!(outcome.statuses().iter().all(|status| *status == 200), "{outcome:#?}");
            }
        }
        if let Some(check) = self.check {
            check(outcome);
        }
    }

    /// Sends the bytes, in pieces of a size, and reads until the connection ends. Where all is to be served, the client stops
    /// sending once all answers are there, so that it ends; a refusal must end it by itself.
    pub async fn play(&self, addr: SocketAddr, piece: usize) -> (Vec<Strict>, Option<String>) {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (read, mut write) = stream.into_split();
        let answered = Notify::new();
        let wanted = match &self.want {
            Want::Refused { .. } => usize::MAX,
            Want::Served(lines) => lines.len(),
        };
        let send = async {
            for piece in self.send.chunks(piece) {
                if write.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            if wanted > 0 {
                answered.notified().await;
            }
            if wanted != usize::MAX {
                // It may have ended already.
                let _ = write.shutdown().await;
            }
        };
        let receive = async {
            let mut reader = Reader::new(read);
            let (mut answers, mut last) = (Vec::new(), 0);
            let fault = loop {
                match reader.response(self.bodyless).await {
                    Ok(answer) => {
                        last += usize::from(answer.status() >= 200);
                        answers.push(answer);
                        if last == wanted {
                            answered.notify_one();
                        }
                    }
                    Err(Fault::End(false)) => break None,
                    Err(Fault::End(true)) => break Some("an answer broke off".to_owned()),
                    Err(Fault::Wrong(why)) => break Some(why),
                }
            };
            answered.notify_one();
            (answers, fault)
        };
        let ((), received) = tokio::join!(send, receive);
        received
    }
}

/// Runs a case: all bytes at once, then one by one.
pub fn run(case: &Case) {
    for piece in [usize::MAX, 1] {
        block_on(async {
            let upstream = Upstream::start().await;
            let front = Front::start(config_for(upstream.addr)).await;
            let (answers, fault) = case.play(front.addr, piece).await;
            drop(front);
            case.judge(&Outcome { answers, fault, seen: upstream.finish().await });
        });
    }
}

/// Makes each line a test of its own, and `all` the table of them.
macro_rules! cases {
    ($($name:ident: $case:expr;)*) => {
        pub fn all() -> Vec<(&'static str, $crate::harness::Case)> {
            vec![$((stringify!($name), $case)),*]
        }

        $(
            #[test]
            fn $name() {
                $crate::harness::run(&$case);
            }
        )*
    };
}
pub(crate) use cases;
