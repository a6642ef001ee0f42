//! How a phase ended, read from the files that it left.

use super::RecipePhase;
use crate::vocab::text::printable;

/// More than any sentence of the driver; what a recipe's own words add is cut.
const SENTENCE: usize = 600;

/// What a phase left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhaseResult {
    /// It came to its end, and this is what it told.
    Done(Vec<String>),
    /// It did not, and why.
    Failed(String),
}

/// A short script that prints what `phase` left in `$work/result`, for [`parse_result`].
pub(crate) fn result_script(phase: RecipePhase) -> String {
    let phase = phase.as_str();
    format!(
        "for file in {phase}.error {phase}.at {phase}; do\n\
         if [ -f \"$work/result/$file\" ]; then cat \"$work/result/$file\"; fi\n\
         if [ \"$file\" != {phase} ]; then printf '\\0'; fi\n\
         done\n"
    )
}

/// Reads what the phase left: its error, the function it was in, and its records, the last of which is "end".
///
/// `status` is that of the driver; a phase that left no result has failed whatever it is.
pub fn parse_result(left: &[u8], status: i32) -> PhaseResult {
    let mut parts = left.splitn(3, |byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let (error, at, records) = (next(), next(), next());
    let sentence = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace('\n', " ");
        printable(&text).chars().take(SENTENCE).collect::<String>()
    };
    if !error.is_empty() {
        return PhaseResult::Failed(sentence(error));
    }
    if status == 0
        && let Some(records) = records.strip_suffix(b"end\0")
        && records.last().is_none_or(|byte| *byte == 0)
    {
        let text = |record: &[u8]| String::from_utf8_lossy(record).into_owned();
        // Every record ends in NUL, so the last part of a split is empty.
        let mut records: Vec<_> = records.split(|byte| *byte == 0).map(text).collect();
        records.pop();
        return PhaseResult::Done(records);
    }
    let at = match sentence(at) {
        at if at.is_empty() => return PhaseResult::Failed(format!("bash ended with status {status} before it began")),
        at => at,
    };
    PhaseResult::Failed(match status {
        0 => format!("{at} called exit before it was through"),
        status if status > 128 => format!("{at} was ended by signal {}", status - 128),
        status => format!("{at} called exit with status {status}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(text: &str) -> PhaseResult {
        PhaseResult::Failed(text.into())
    }

    #[test]
    fn only_a_complete_result_is_one() {
        let records = |records: &[&str]| PhaseResult::Done(records.iter().map(|r| (*r).to_owned()).collect());
        assert_eq!(parse_result(b"\0build()\0end\0", 0), records(&[]));
        assert_eq!(parse_result(b"\0x\0v1.0\0usr/bin/a b\0end\0", 0), records(&["v1.0", "usr/bin/a b"]));
        assert_eq!(parse_result(b"\0build()\0", 0), failed("build() called exit before it was through"));
        assert_eq!(parse_result(b"\0build()\0v1.0\0usr/b", 0), failed("build() called exit before it was through"));
        assert_eq!(parse_result(b"\0build()\0usr/legend\0", 0), failed("build() called exit before it was through"));
        assert_eq!(parse_result(b"\0build()\0", 3), failed("build() called exit with status 3"));
        assert_eq!(parse_result(b"\0build()\0", 137), failed("build() was ended by signal 9"));
        assert_eq!(parse_result(b"no\npkgname\x1b\0build()\0end\0", 0), failed("no pkgname\u{fffd}"));
        assert_eq!(parse_result(b"", 127), failed("bash ended with status 127 before it began"));
        assert_eq!(parse_result(&[b'x'; 9999], 1), failed(&"x".repeat(SENTENCE)));
    }
}
