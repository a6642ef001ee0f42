use proptest::prelude::*;

use super::*;
use crate::report::script::{any_events, story};

/// Checks what a parser would refuse: characters, entities, attributes, and tags that do not match.
fn check(xml: &str) -> Result<Vec<String>, String> {
    let allowed = |c: char| matches!(c, '\n' | '\t' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if let Some(c) = xml.chars().find(|c| !allowed(*c)) {
        return Err(format!("character {c:?}"));
    }
    let text = |text: &str| {
        let known = ["amp;", "lt;", "gt;", "quot;"];
        text.split('&').skip(1).all(|rest| known.iter().any(|entity| rest.starts_with(entity)))
    };
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    for piece in xml.split('<').skip(2) {
        let (tag, after) = piece.split_once('>').ok_or_else(|| format!("no end: {piece:?}"))?;
        if after.contains('>') || !text(after) || !text(tag) || tag.matches('"').count() % 2 != 0 {
            return Err(format!("not well-formed: {piece:?}"));
        }
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default().to_owned();
        if tag.starts_with('/') {
            let last = open.pop();
            if last.as_ref() != Some(&name) {
                return Err(format!("{name} ends {last:?}"));
            }
        } else {
            seen.push(name.clone());
            open.push(name);
        }
    }
    if open.is_empty() { Ok(seen) } else { Err(format!("open: {open:?}")) }
}

fn written(events: &[Event]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("junit.xml");
    let mut junit = Junit::new(&path);
    events.iter().for_each(|event| junit.event(event));
    junit.finish().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_test_case_a_host() {
    let xml = written(&story());
    check(&xml).unwrap();
    insta::assert_snapshot!(xml);
}

#[test]
fn a_run_that_broke_off_has_errors_instead_of_results() {
    let xml = written(&story()[..10]);
    assert!(xml.contains(r#"tests="3" failures="0" errors="2" skipped="1""#), "{xml}");
    assert_eq!(check(&xml).unwrap().iter().filter(|tag| *tag == "error").count(), 2);
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let error = Junit::new("/nowhere/at/all.xml").finish().unwrap_err().to_string();
    assert!(error.starts_with("JUnit file /nowhere/at/all.xml: "), "{error}");
}

proptest! {
    #[test]
    fn any_text_is_well_formed(events in any_events()) {
        let mut junit = Junit::new("unused");
        events.iter().for_each(|event| junit.event(event));
        let xml = junit.document();
        prop_assert!(check(&xml).is_ok(), "{:?} in {}", check(&xml), xml);
    }
}
