//! The Beats protocol, version 2: a window says how many events come, each is a JSON frame with its number in the window, all of
//! them in one compressed frame; the receiver acknowledges up to a number. Integers are big-endian.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::batch::{Progress, Window};
use super::fault::Fault;
use super::stream::Stream;
use crate::log::logstash_config::LogstashConfig;
use crate::log::url::LogstashUrl;

const WINDOW: &[u8; 2] = b"2W";
const JSON: &[u8; 2] = b"2J";
const COMPRESSED: &[u8; 2] = b"2C";
const ACK: &[u8; 2] = b"2A";

#[derive(Debug)]
pub(super) struct Lumberjack {
    stream: Stream,
    compression: u32,
    out: Vec<u8>,
    /// What has been read and is no whole frame yet.
    read: Vec<u8>,
}

impl Lumberjack {
    pub(super) async fn connect(url: &LogstashUrl, config: &LogstashConfig) -> io::Result<Self> {
        let stream = Stream::connect(url, config).await?;
        Ok(Self { stream, compression: config.compression.into(), out: Vec::new(), read: Vec::new() })
    }

    /// An acknowledgement of nothing, which a receiver sends to stay in touch, may have come since the last window.
    pub(super) fn is_open(&mut self) -> bool {
        self.read.clear();
        self.stream.is_open()
    }

    pub(super) async fn deliver(&mut self, window: Window<'_>, progress: &mut Progress) -> Result<(), Fault> {
        encode(window, self.compression, &mut self.out)?;
        self.stream.write_all(&self.out).await?;
        while progress.done < window.len() {
            let acknowledged = self.acknowledged().await? as usize;
            if acknowledged > window.len() {
                let what = format!("{acknowledged} of {} events were acknowledged", window.len());
                return Err(Fault::Later(io::Error::new(io::ErrorKind::InvalidData, what)));
            }
            // 0, or what it had said before: it is still at it.
            progress.done = progress.done.max(acknowledged);
        }
        Ok(())
    }

    /// The next acknowledgement.
    async fn acknowledged(&mut self) -> io::Result<u32> {
        loop {
            if let Some((kind, rest)) = self.read.split_first_chunk::<2>() {
                if kind != ACK {
                    let what = "the receiver does not speak the Beats protocol, version 2";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
                if let Some((number, _)) = rest.split_first_chunk::<4>() {
                    let number = u32::from_be_bytes(*number);
                    self.read.drain(..ACK.len() + 4);
                    return Ok(number);
                }
            }
            self.stream.read(&mut self.read).await?;
        }
    }
}

fn encode(window: Window<'_>, compression: u32, out: &mut Vec<u8>) -> io::Result<()> {
    out.clear();
    out.extend_from_slice(WINDOW);
    out.extend_from_slice(&(window.len() as u32).to_be_bytes());
    if compression == 0 {
        return frames(window, out);
    }
    out.extend_from_slice(COMPRESSED);
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut encoder = ZlibEncoder::new(&mut *out, Compression::new(compression));
    frames(window, &mut encoder)?;
    encoder.finish()?;
    let length = (out.len() - length_at - 4) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn frames(window: Window<'_>, out: &mut impl Write) -> io::Result<()> {
    for (number, line) in (1_u32..).zip(window.lines()) {
        out.write_all(JSON)?;
        out.write_all(&number.to_be_bytes())?;
        out.write_all(&(line.len() as u32).to_be_bytes())?;
        out.write_all(line)?;
    }
    Ok(())
}
