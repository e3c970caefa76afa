//! A TCP connection whose peer is noticed when it hangs or is gone.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fault::within;
use crate::log::logstash_config::LogstashConfig;
use crate::log::url::LogstashUrl;

#[derive(Debug)]
pub(super) struct Stream {
    stream: TcpStream,
    write_timeout: Duration,
    read_timeout: Duration,
}

/// Connects to the URL's host, whatever its scheme.
pub(super) async fn connect(url: &LogstashUrl, config: &LogstashConfig) -> io::Result<TcpStream> {
    let stream =
        within(config.connect_timeout.0, "no connection", TcpStream::connect(&url.authority)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Stream {
    pub(super) async fn connect(url: &LogstashUrl, config: &LogstashConfig) -> io::Result<Self> {
        Ok(Self {
            stream: connect(url, config).await?,
            write_timeout: config.write_timeout.0,
            read_timeout: config.ack_timeout.0,
        })
    }

    /// Writes all of it; a peer may take as long as it likes, as long as it takes something.
    pub(super) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = within(self.write_timeout, "nothing was taken", self.stream.write(bytes)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Waits for more from the peer.
    pub(super) async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        match within(self.read_timeout, "nothing was acknowledged", self.stream.read_buf(into)).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the receiver closed the connection")),
            _ => Ok(()),
        }
    }

    /// Throws away what the peer has said; whether it is still there, as far as one can know without sending.
    pub(super) fn is_open(&self) -> bool {
        let mut bytes = [0; 512];
        loop {
            match self.stream.try_read(&mut bytes) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }
}
