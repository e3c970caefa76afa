//! A receiver of POSTs of JSON lines.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::receiver::{Fault, Sink, Stop};

pub(crate) fn serve(stream: TcpStream, sink: &Sink, stop: &Stop) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut stream = BufReader::new(stream);
    loop {
        let fault = sink.fault();
        if fault == Some(Fault::Hang) {
            stop.wait();
            return Ok(());
        }
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_until(b'\n', &mut head)? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("POST /in?pipeline=shop HTTP/1.1\r\n"), "{head}");
        let header = |name: &str| {
            let find =
                |line: &str| Some(line.split_once(": ")?.1.to_owned()).filter(|_| line.starts_with(name));
            head.lines().find_map(find).unwrap_or_else(|| panic!("{name}: {head}"))
        };
        assert_eq!(header("content-type"), "application/x-ndjson");
        assert_eq!(header("authorization"), "Basic bWU6aHVudGVyMjo=", "me:hunter2:");
        assert!(header("host").starts_with("127.0.0.1:"));
        let length: usize = header("content-length").parse().unwrap();
        if fault == Some(Fault::CloseWithin) {
            return Ok(());
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let body = String::from_utf8(body).unwrap();
        assert!(body.ends_with('\n') && length <= 1 << 20);
        let refused = if sink.max_body.is_some_and(|max| length > max) {
            Some(413)
        } else if sink.poison.is_some_and(|poison| body.contains(poison)) {
            Some(400)
        } else if let Some(Fault::Status(status)) = fault {
            Some(status)
        } else {
            None
        };
        if let Some(status) = refused {
            write!(out, "HTTP/1.1 {status} No\r\ncontent-length: 2\r\n\r\nno")?;
            continue;
        }
        let kept = if let Some(Fault::Part(part)) = fault { part as usize } else { usize::MAX };
        body.lines().take(kept).for_each(|line| sink.keep(line.as_bytes()));
        match fault {
            Some(Fault::CloseAfter | Fault::Part(_)) => return Ok(()),
            Some(Fault::Silent) => {
                stop.wait();
                return Ok(());
            }
            Some(Fault::Nonsense | Fault::TooMuch) => {
                out.write_all(b"2A\0\0\0\x01 and that is no HTTP\r\n\r\n")?;
                return Ok(());
            }
            Some(Fault::Slow) => out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?,
            _ => {}
        }
        out.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok")?;
    }
}
