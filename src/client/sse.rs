//! Server-sent events, taken apart within bounds.

/// The longest line that is read.
const LONGEST: usize = 16 << 20;

/// Finds events in a stream of bytes.
#[derive(Debug, Default)]
pub struct Parser {
    rest: Vec<u8>,
    /// Up to here there is no line end in `rest`.
    looked: usize,
    id: Option<u64>,
    data: Option<Vec<u8>>,
}

/// One event that has data.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    pub id: Option<u64>,
    pub data: Vec<u8>,
}

/// A line does not end.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than any of ours")]
pub struct TooLong;

impl Parser {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// A line is too long.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.rest.extend_from_slice(bytes);
        if self.rest.len() > LONGEST && memchr::memchr(b'\n', &self.rest[self.looked..]).is_none() {
            return Err(TooLong);
        }
        Ok(())
    }

    /// The next event that is there as a whole.
    pub fn next(&mut self) -> Option<Event> {
        let mut from = 0;
        let mut found = None;
        while let Some(at) = memchr::memchr(b'\n', &self.rest[self.looked.max(from)..]) {
            let end = self.looked.max(from) + at;
            let line = self.rest[from..end].strip_suffix(b"\r").unwrap_or(&self.rest[from..end]);
            if line.is_empty() {
                let id = self.id.take();
                found = self.data.take().map(|data| Event { id, data });
            } else if let Some(value) = field(line, b"data") {
                match &mut self.data {
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                    None => self.data = Some(value.to_vec()),
                }
            } else if let Some(value) = field(line, b"id") {
                self.id = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            }
            from = end + 1;
            if found.is_some() {
                break;
            }
        }
        self.rest.drain(..from);
        self.looked = if found.is_some() { 0 } else { self.rest.len() };
        found
    }
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_they_are_cut() {
        let stream = b"retry: 1000\n\n: there\n\nid: 1\ndata: {\"a\":1}\n\nid:2\r\ndata:x\r\ndata: y\r\n\r\nevent: z\n\nid: 3\ndata: cut";
        let expected =
            [Event { id: Some(1), data: b"{\"a\":1}".to_vec() }, Event { id: Some(2), data: b"x\ny".to_vec() }];
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            let mut seen = Vec::new();
            for chunk in stream.chunks(size) {
                parser.feed(chunk).unwrap();
                while let Some(event) = parser.next() {
                    seen.push(event);
                }
            }
            assert_eq!(seen, expected, "{size}");
        }
    }

    #[test]
    fn a_line_has_an_end() {
        let mut parser = Parser::default();
        parser.feed(b"data: ").unwrap();
        let flood = vec![b'x'; 1 << 20];
        let result = (0..64).try_for_each(|_| parser.feed(&flood).inspect(|()| assert_eq!(parser.next(), None)));
        assert_eq!(result, Err(TooLong));
    }
}
