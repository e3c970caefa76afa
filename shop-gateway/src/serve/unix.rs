//! Unix sockets to listen on.

use std::fs;
use std::future::{Future, poll_fn};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

/// Between two tries to accept, when it fails.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket's file, removed when dropped, unless another has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode) {
            // Nobody is left to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens. A socket that is there already and that nobody answers is replaced.
pub(super) fn bind(path: &Path) -> io::Result<(StdListener, SocketFile)> {
    let named =
        |e: io::Error| io::Error::new(e.kind(), format!("cannot listen on unix:{}: {e}", path.display()));
    let is_socket = fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && StdStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
        fs::remove_file(path).map_err(named)?;
    }
    let listener = StdListener::bind(path).map_err(named)?;
    let inode = fs::symlink_metadata(path).map_err(named)?.ino();
    listener.set_nonblocking(true)?;
    Ok((listener, SocketFile { path: path.to_owned(), inode }))
}

/// Accepts until `stop` is ready, then takes what waits, and closes the listener: as `accept_until` does for TCP.
pub(super) async fn accept_unix_until(
    listener: UnixListener,
    stop: impl Future<Output = ()>,
    mut take: impl FnMut(UnixStream),
) {
    {
        let mut accepting = pin!(async {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => take(stream),
                    Err(e) => {
                        let error = &e as &dyn std::error::Error;
                        tracing::warn!(target: "shop_gateway::serve", error, "cannot accept");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        });
        let mut stop = pin!(stop);
        poll_fn(|cx| {
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            accepting.as_mut().poll(cx)
        })
        .await;
    }
    // The kernel is asked: the runtime may not have heard of the latest. What fails is the end of it.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, _)) = listener.accept() {
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = UnixStream::from_std(stream)
        {
            take(stream);
        }
    }
}
