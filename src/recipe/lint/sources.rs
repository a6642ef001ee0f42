//! Lints of sources and their checksums.

use super::Recipe;

/// Name of the array without "sums", and how many hexadecimal digits one has; `ck` is decimal.
const SUMS: [(&str, usize); 8] = [
    ("ck", 0),
    ("md5", 32),
    ("sha1", 40),
    ("sha224", 56),
    ("sha256", 64),
    ("sha384", 96),
    ("sha512", 128),
    ("b2", 128),
];

impl Recipe<'_> {
    pub(super) fn sources(&mut self) {
        self.sources_of("");
        for machine in self.evaluated.all("arch") {
            if machine != "any" {
                self.sources_of(&format!("_{machine}"));
            }
        }
    }

    fn sources_of(&mut self, suffix: &str) {
        let evaluated = self.evaluated;
        let array = format!("source{suffix}");
        let sources = evaluated.all(&array);
        let mut sums: Vec<(String, usize, &[String])> = Vec::new();
        for (kind, digits) in SUMS {
            let name = format!("{kind}sums{suffix}");
            let values = evaluated.all(&name);
            if values.is_empty() {
                continue;
            }
            if values.len() != sources.len() {
                let line = self.line_of(&name);
                let text = format!("{name} and {array} differ in length: {} and {}", values.len(), sources.len());
                self.error(line, "checksum-count", text);
            } else {
                sums.push((name, digits, values));
            }
        }
        let covered = SUMS.iter().any(|(kind, _)| !evaluated.all(&format!("{kind}sums{suffix}")).is_empty());
        if !sources.is_empty() && !covered {
            let line = self.line_of(&array);
            self.error(line, "checksum-count", format!("{array} has no checksums; add sha256sums{suffix}"));
        }
        for (name, digits, values) in &sums {
            for (index, value) in values.iter().enumerate() {
                let is_hex = value.len() == *digits && value.bytes().all(|byte| byte.is_ascii_hexdigit());
                let is_number = *digits == 0 && !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                if value != "SKIP" && !is_hex && !is_number {
                    let line = self.line_of_element(name, index, values.len());
                    self.error(
                        line,
                        "checksum",
                        format!("{name} has {value:?}, which is neither a checksum of this kind nor SKIP"),
                    );
                }
            }
        }
        for (index, source) in sources.iter().enumerate() {
            let line = self.line_of_element(&array, index, sources.len());
            let skipped = !sums.is_empty() && sums.iter().all(|(_, _, values)| values[index] == "SKIP");
            self.source(line, source, skipped);
        }
    }

    fn source(&mut self, line: usize, source: &str, skipped: bool) {
        let url = source.split_once("::").map_or(source, |(_, url)| url);
        let shown = without_login(url);
        if let Some(git) = url.strip_prefix("git+").or_else(|| url.starts_with("git://").then_some(url)) {
            let fragment = git.split_once('#').map_or("", |(_, fragment)| fragment);
            if !fragment.starts_with("commit=") && !fragment.starts_with("tag=") {
                let what = if fragment.starts_with("branch=") { "a branch" } else { "whatever is newest" };
                let text = format!("{shown} is {what}, another one each day; pin it with #commit= or #tag=");
                self.warn(line, "unpinned-git", text);
            }
            if git.starts_with("http://") && !is_here(git) {
                self.warn(line, "plain-http", format!("{shown} can be changed on its way; use https"));
            }
            return;
        }
        if url.starts_with("http://") && !is_here(url) {
            self.warn(line, "plain-http", format!("{shown} can be changed on its way; use https"));
        }
        if skipped {
            self.warn(line, "skipped-checksum", format!("nothing checks {shown}: its checksum is SKIP"));
        }
        if !url.contains("://") {
            let inside = !url.starts_with('/') && !url.split('/').any(|part| part == "..");
            if !inside {
                self.error(line, "source", format!("source {url} leads out of the recipe's folder"));
            } else if !self.files.iter().any(|file| file.path == url) {
                self.error(line, "source", format!("source {url} is not in the recipe's folder"));
            }
        }
    }
}

/// Whether a URL stays on this machine, where nobody can change it on its way.
fn is_here(url: &str) -> bool {
    let host = url.trim_start_matches("http://");
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|here| {
        host.strip_prefix(here).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/', '#', '?']))
    })
}

/// A URL without the name and password that it may carry.
fn without_login(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", host.rsplit('@').next().unwrap_or(host))
        }
        None => url.to_owned(),
    }
}
