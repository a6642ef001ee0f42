//! Words: with their quotes, expansions and assignments.

use super::{Assignment, DEPTH, Reader, Word};

impl Reader {
    /// `(( … ))`: nothing in it is a word.
    pub(super) fn arithmetic(&mut self) {
        let mut depth = 0usize;
        while let Some(c) = self.next() {
            match c {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    /// `[[ … ]]`: nothing in it is split.
    pub(super) fn condition(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                ']' if self.starts("]]") => {
                    self.at += 2;
                    return;
                }
                '\'' | '"' => {
                    self.next();
                    while let Some(inner) = self.next() {
                        if inner == '\\' && c == '"' {
                            self.next();
                        } else if inner == c {
                            break;
                        }
                    }
                }
                '\\' => {
                    self.next();
                    self.next();
                }
                _ => drop(self.next()),
            }
        }
    }

    /// One word; an assignment before a command is kept aside.
    pub(super) fn word(&mut self, first: bool, depth: usize, function: Option<&str>) -> Piece {
        let mut word = Word { line: self.line, ..Word::default() };
        let mut quoted = false;
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    quoted = !quoted;
                    word.text.push('"');
                    self.next();
                }
                '\'' if !quoted => {
                    word.text.push('\'');
                    self.next();
                    while let Some(inner) = self.next() {
                        word.text.push(inner);
                        if inner == '\'' {
                            break;
                        }
                    }
                }
                '\\' => {
                    word.text.extend(self.next());
                    word.text.extend(self.next());
                }
                '$' => self.dollar(&mut word, quoted, depth, function),
                '`' => {
                    word.text.push('`');
                    self.next();
                    while let Some(inner) = self.next() {
                        word.text.push(inner);
                        if inner == '`' {
                            break;
                        }
                    }
                }
                _ if quoted => word.text.extend(self.next()),
                '(' if is_assignment(&word.text) && word.text.ends_with('=') && depth < DEPTH => {
                    self.next();
                    let elements = self.elements(depth + 1, function);
                    self.assign(&word, elements, function);
                    return Piece::Assigned;
                }
                // An extended glob.
                '(' if word.text.ends_with(['@', '+', '*', '?', '!']) => {
                    let start = self.at;
                    self.arithmetic();
                    word.text.extend(&self.text[start..self.at]);
                }
                c if c.is_whitespace() || ";&|()<>".contains(c) => break,
                _ => word.text.extend(self.next()),
            }
        }
        if word.text.is_empty() {
            // Nothing that a word can begin with: go on behind it.
            self.next();
        }
        if first && is_assignment(&word.text) {
            self.assign(&word, Vec::new(), function);
            return Piece::Assigned;
        }
        Piece::Word(word)
    }

    fn assign(&mut self, word: &Word, elements: Vec<Word>, function: Option<&str>) {
        let name = word.text.split(['=', '+', '[']).next().unwrap_or_default().to_owned();
        let function = function.map(str::to_owned);
        // A value is not split, so what stands bare in it is well.
        self.script.assignments.push(Assignment { name, line: word.line, elements, function });
    }

    fn elements(&mut self, depth: usize, function: Option<&str>) -> Vec<Word> {
        let mut elements = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                ')' => {
                    self.next();
                    break;
                }
                '#' => self.rest_of_line(),
                c if c.is_whitespace() => drop(self.next()),
                '\\' if self.starts("\\\n") => {
                    self.next();
                    self.next();
                }
                _ => {
                    let line = self.line;
                    match self.word(false, depth, function) {
                        Piece::Word(word) => elements.push(word),
                        Piece::Assigned => elements.push(Word { line, ..Word::default() }),
                    }
                }
            }
        }
        elements
    }

    fn dollar(&mut self, word: &mut Word, quoted: bool, depth: usize, function: Option<&str>) {
        let (start, line) = (self.at, self.line);
        self.next();
        match self.peek() {
            Some('(') if self.starts("((") => self.arithmetic(),
            Some('(') => {
                self.next();
                if depth < DEPTH {
                    self.commands(function, true, depth + 1);
                }
            }
            Some('{') => {
                let mut open = 0usize;
                while let Some(c) = self.next() {
                    match c {
                        '{' => open += 1,
                        '}' => {
                            open -= 1;
                            if open == 0 {
                                break;
                            }
                        }
                        '\\' => drop(self.next()),
                        _ => {}
                    }
                }
                let inside: String = self.text[start..self.at].iter().skip(2).collect();
                let name: String = inside.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if !quoted {
                    word.bare.push((name, line));
                }
            }
            Some('\'') if !quoted => {
                self.next();
                while let Some(c) = self.next() {
                    if c == '\\' {
                        self.next();
                    } else if c == '\'' {
                        break;
                    }
                }
            }
            _ => {
                let mut name = String::new();
                while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                    self.next();
                }
                if !quoted {
                    word.bare.push((name, line));
                }
            }
        }
        word.text.extend(&self.text[start..self.at]);
    }
}

/// What stands where a word may.
pub(super) enum Piece {
    Word(Word),
    Assigned,
}

/// `name=`, `name+=` or `name[…]=` at the beginning.
fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else { return false };
    let name = name.strip_suffix('+').unwrap_or(name);
    let name = match name.split_once('[') {
        Some((name, index)) if index.ends_with(']') => name,
        Some(_) => return false,
        None => name,
    };
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
