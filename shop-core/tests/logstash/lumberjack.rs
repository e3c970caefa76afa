//! A receiver of the Beats protocol, version 2.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;

use crate::receiver::{Fault, Sink, Stop};

pub(crate) fn serve(mut out: TcpStream, sink: &Sink, stop: &Stop) -> io::Result<()> {
    let mut stream = BufReader::new(out.try_clone()?);
    loop {
        let fault = sink.fault();
        if fault == Some(Fault::Hang) {
            stop.wait();
            return Ok(());
        }
        // Nothing more comes: only now is the connection over without a fault.
        let count = read_window(&mut stream)?;
        if fault == Some(Fault::CloseWithin) {
            stream.read_exact(&mut [0; 3])?;
            return Ok(());
        }
        let events = read_events(&mut stream, count)?;
        let kept = if let Some(Fault::Part(part)) = fault { part.min(count) } else { count };
        events.iter().take(kept as usize).for_each(|event| sink.keep(event));
        match fault {
            Some(Fault::Part(_)) => {
                acknowledge(&mut out, kept)?;
                return Ok(());
            }
            Some(Fault::CloseAfter) => return Ok(()),
            Some(Fault::Silent) => {
                stop.wait();
                return Ok(());
            }
            Some(Fault::Slow) => {
                (0..3).try_for_each(|_| acknowledge(&mut out, 0))?;
                acknowledge(&mut out, count / 2)?;
            }
            Some(Fault::TooMuch) => {
                acknowledge(&mut out, count + 1)?;
                return Ok(());
            }
            Some(Fault::Nonsense) => {
                out.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
                return Ok(());
            }
            _ => {}
        }
        acknowledge(&mut out, count)?;
    }
}

fn acknowledge(stream: &mut TcpStream, number: u32) -> io::Result<()> {
    stream.write_all(&[b"2A", &number.to_be_bytes()[..]].concat())
}

fn read_window(stream: &mut impl Read) -> io::Result<u32> {
    let mut head = [0; 6];
    stream.read_exact(&mut head)?;
    assert_eq!(&head[..2], b"2W");
    let count = u32::from_be_bytes(head[2..].try_into().unwrap());
    assert!((1..=2048).contains(&count), "{count}");
    Ok(count)
}

fn read_events(stream: &mut impl Read, count: u32) -> io::Result<Vec<Vec<u8>>> {
    let mut kind = [0; 2];
    stream.read_exact(&mut kind)?;
    if &kind == b"2C" {
        let length = read_u32(stream)?;
        let mut packed = flate2::read::ZlibDecoder::new(stream.take(length.into()));
        let mut frames = Vec::new();
        packed.read_to_end(&mut frames)?;
        assert_eq!(packed.into_inner().limit(), 0, "the frame is as long as it says");
        let mut frames = &frames[..];
        let events = (1..=count).map(|number| read_event(&mut frames, number, true)).collect();
        assert!(frames.is_empty(), "nothing but the events is in the frame");
        return events;
    }
    assert_eq!(&kind, b"2J");
    (1..=count).map(|number| read_event(stream, number, number > 1)).collect()
}

fn read_event(from: &mut impl Read, number: u32, with_kind: bool) -> io::Result<Vec<u8>> {
    if with_kind {
        let mut kind = [0; 2];
        from.read_exact(&mut kind)?;
        assert_eq!(&kind, b"2J");
    }
    assert_eq!(read_u32(from)?, number, "numbers begin with 1 in each window");
    let mut event = vec![0; read_u32(from)? as usize];
    from.read_exact(&mut event)?;
    Ok(event)
}

fn read_u32(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}
