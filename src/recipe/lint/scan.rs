//! Reads a shell script as far as lints need it: commands, assignments and functions, with their lines.
//!
//! # Theory of operation
//! One pass over the text, without running or expanding anything. Quotes, comments, here-documents, `$( )` and arrays are
//! followed, so that what stands in them is not taken for something else; everything finer (aliases, `eval`, arithmetic)
//! is skipped over. What it misreads costs a lint, never more: bash itself is asked for what counts.

mod words;

use words::Piece;

/// What stands in a script.
#[derive(Debug, Default)]
pub struct Script {
    pub commands: Vec<Command>,
    pub assignments: Vec<Assignment>,
    /// Names with the lines that they begin in.
    pub functions: Vec<(String, usize)>,
}

/// A simple command.
#[derive(Debug, Default, Clone)]
pub struct Command {
    pub words: Vec<Word>,
    /// What it writes to.
    pub writes: Vec<Word>,
    pub function: Option<String>,
}

/// `NAME=…` or `NAME=(…)`.
#[derive(Debug, Clone)]
pub struct Assignment {
    pub name: String,
    pub line: usize,
    /// Of an array; a plain value has none.
    pub elements: Vec<Word>,
    pub function: Option<String>,
}

/// A word as it is written.
#[derive(Debug, Default, Clone)]
pub struct Word {
    pub text: String,
    pub line: usize,
    /// Variables that stand in it without quotes, each with its line.
    pub bare: Vec<(String, usize)>,
}

impl Word {
    /// The word without quotes and backslashes.
    pub fn plain(&self) -> String {
        self.text.chars().filter(|c| !"'\"\\".contains(*c)).collect()
    }
}

const KEYWORDS: [&str; 14] =
    ["if", "then", "else", "elif", "fi", "do", "done", "while", "until", "!", "time", "esac", "{", "}"];
const DECLARES: [&str; 5] = ["local", "export", "declare", "readonly", "typeset"];
/// How deep `$( )` and `( )` may stand in each other.
const DEPTH: usize = 50;

/// Reads a script.
pub fn scan(text: &str) -> Script {
    let mut reader =
        Reader { text: text.chars().collect(), at: 0, line: 1, heredocs: Vec::new(), script: Script::default() };
    while reader.at < reader.text.len() {
        reader.commands(None, false, 0);
    }
    reader.script
}

struct Reader {
    text: Vec<char>,
    at: usize,
    line: usize,
    /// Ends of here-documents that begin with the next line, and whether tabs before them count for nothing.
    heredocs: Vec<(String, bool)>,
    script: Script,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn starts(&self, what: &str) -> bool {
        what.chars().enumerate().all(|(n, c)| self.text.get(self.at + n) == Some(&c))
    }

    fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => drop(self.next()),
                Some('\\') if self.starts("\\\n") => {
                    self.next();
                    self.next();
                }
                _ => return,
            }
        }
    }

    fn rest_of_line(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.next();
        }
    }

    fn skip_heredocs(&mut self) {
        for (end, tabs) in std::mem::take(&mut self.heredocs) {
            while self.at < self.text.len() {
                let start = self.at;
                self.rest_of_line();
                let line: String = self.text[start..self.at].iter().collect();
                self.next();
                if (if tabs { line.trim_start_matches('\t') } else { &line }) == end {
                    break;
                }
            }
        }
    }

    /// Reads commands up to the `)` that ends them, if `inside` one, else to the end.
    fn commands(&mut self, function: Option<&str>, inside: bool, depth: usize) {
        let mut function = function.map(str::to_owned);
        // Functions whose bodies are open, with the depth of braces around them.
        let mut open: Vec<(Option<String>, usize)> = Vec::new();
        let (mut braces, mut cases) = (0usize, 0usize);
        let mut pending: Option<String> = None;
        let mut command = Command { function: function.clone(), ..Command::default() };
        macro_rules! end {
            () => {
                let done =
                    std::mem::replace(&mut command, Command { function: function.clone(), ..Command::default() });
                if !done.words.is_empty() || !done.writes.is_empty() {
                    self.script.commands.push(done);
                }
            };
        }
        while let Some(c) = {
            self.blanks();
            self.peek()
        } {
            match c {
                '\n' => {
                    self.next();
                    end!();
                    self.skip_heredocs();
                }
                ';' => {
                    self.next();
                    end!();
                }
                '&' if self.starts("&>") => drop(self.next()),
                '&' | '|' => {
                    self.next();
                    end!();
                }
                '#' => self.rest_of_line(),
                '(' if self.starts("((") && command.words.is_empty() => {
                    self.arithmetic();
                }
                '(' => {
                    self.next();
                    self.blanks();
                    if self.peek() == Some(')') && command.words.len() == 1 {
                        self.next();
                        if let Some(word) = command.words.pop() {
                            self.script.functions.push((word.text.clone(), word.line));
                            pending = Some(word.text);
                        }
                        continue;
                    }
                    end!();
                    let body = pending.take().or_else(|| function.clone());
                    if depth < DEPTH {
                        self.commands(body.as_deref(), true, depth + 1);
                    }
                }
                ')' => {
                    self.next();
                    end!();
                    if inside && cases == 0 {
                        return;
                    }
                }
                '<' | '>' => self.redirect(&mut command, depth, function.as_deref()),
                _ => {
                    let first = command.words.is_empty();
                    match self.word(first, depth, function.as_deref()) {
                        Piece::Assigned => {}
                        Piece::Word(word) if first && word.text == "[[" => {
                            self.condition();
                        }
                        Piece::Word(word) if first && word.text == "function" => {
                            self.blanks();
                            if let Piece::Word(name) = self.word(false, depth, function.as_deref()) {
                                self.blanks();
                                if self.starts("()") {
                                    self.at += 2;
                                }
                                self.script.functions.push((name.text.clone(), name.line));
                                pending = Some(name.text);
                            }
                        }
                        Piece::Word(word) if first && word.text == "case" => {
                            cases += 1;
                            // The word and its "in".
                            self.blanks();
                            let _ = self.word(false, depth, function.as_deref());
                            self.blanks();
                            let _ = self.word(false, depth, function.as_deref());
                        }
                        Piece::Word(word) if first && KEYWORDS.contains(&word.text.as_str()) => {
                            match word.text.as_str() {
                                "{" => {
                                    if let Some(name) = pending.take() {
                                        open.push((function.replace(name), braces));
                                        command.function.clone_from(&function);
                                    }
                                    braces += 1;
                                }
                                "}" => {
                                    braces = braces.saturating_sub(1);
                                    if open.last().is_some_and(|(_, at)| *at == braces)
                                        && let Some((outer, _)) = open.pop()
                                    {
                                        function = outer;
                                        command.function.clone_from(&function);
                                    }
                                }
                                "esac" => cases = cases.saturating_sub(1),
                                _ => {}
                            }
                        }
                        Piece::Word(mut word) => {
                            // What these are given is not split.
                            if command.words.first().is_some_and(|first| DECLARES.contains(&first.text.as_str())) {
                                word.bare.clear();
                            }
                            command.words.push(word);
                        }
                    }
                }
            }
        }
        end!();
    }

    fn redirect(&mut self, command: &mut Command, depth: usize, function: Option<&str>) {
        // A descriptor before it is no word.
        let digits = |word: &Word| !word.text.is_empty() && word.text.chars().all(|c| c.is_ascii_digit());
        if command.words.last().is_some_and(digits) && self.at > 0 && self.text[self.at - 1].is_ascii_digit() {
            command.words.pop();
        }
        let write = self.next() == Some('>');
        if !write && self.starts("<<") {
            self.at += 2;
            self.blanks();
            let _ = self.word(false, depth, function);
            return;
        }
        if !write && self.peek() == Some('<') {
            self.next();
            let tabs = self.peek() == Some('-');
            if tabs {
                self.next();
            }
            self.blanks();
            if let Piece::Word(end) = self.word(false, depth, function) {
                self.heredocs.push((end.plain(), tabs));
            }
            return;
        }
        if self.peek() == Some('(') {
            // `<( … )`
            self.next();
            if depth < DEPTH {
                self.commands(function, true, depth + 1);
            }
            return;
        }
        while self.peek().is_some_and(|c| ">|&".contains(c)) {
            self.next();
        }
        self.blanks();
        if let Piece::Word(word) = self.word(false, depth, function)
            && write
        {
            command.writes.push(word);
        }
    }
}
