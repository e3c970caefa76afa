use std::io::{self, Read};
use std::task::Poll;

use socket2::SockRef;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

/// How a stream is asked for what has come, whatever the runtime has heard of it: [`read_arrived`] or [`nothing_arrived`].
pub type Arrived<S> = fn(&S, &mut ReadBuf<'_>) -> Poll<io::Result<()>>;

/// Reads what the kernel has, whatever the runtime has heard of it: closing a socket with bytes unread would reset it under
/// a request. For a read that the runtime has just found pending, since pending here, nobody is told whom to wake.
///
/// # Errors
/// The socket's.
pub fn read_arrived(stream: &TcpStream, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    let socket = SockRef::from(stream);
    match (&*socket).read(buf.initialize_unfilled()) {
        Ok(n) => buf.advance(n),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            return Poll::Pending;
        }
        Err(e) => return Poll::Ready(Err(e)),
    }
    Poll::Ready(Ok(()))
}

/// For a stream that is no socket of the kernel's: what has come, the runtime has heard of.
///
/// # Errors
/// None.
pub fn nothing_arrived<S>(_: &S, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    Poll::Pending
}
