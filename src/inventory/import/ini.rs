//! Ansible's older form: sections of host lines, of children, and of variables.

use super::ansible::{Gathered, ImportError, Variables};

enum Section {
    Hosts,
    Children,
    Variables,
}

pub(super) fn read(text: &str, into: &mut Gathered) -> Result<(), ImportError> {
    let (mut section, mut group) = (Section::Hosts, "ungrouped".to_owned());
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        let bad = |what: &str| ImportError::Line { line, what: what.to_owned() };
        let trimmed = raw.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(head) = trimmed.strip_prefix('[').filter(|_| !trimmed.contains('=')) {
            let (head, _) = head.split_once(']').ok_or_else(|| bad("the section's name is not closed"))?;
            let (name, kind) = head.split_once(':').unwrap_or((head, "hosts"));
            section = match kind {
                "hosts" => Section::Hosts,
                "children" => Section::Children,
                "vars" => Section::Variables,
                _ => return Err(bad("a section is [group], [group:children] or [group:vars]")),
            };
            group = name.trim().to_owned();
            into.group(&group);
            continue;
        }
        match section {
            Section::Hosts => {
                let mut words = words(trimmed).map_err(|what| bad(&what))?.into_iter();
                let Some(host) = words.next() else { continue };
                let variables: Result<Variables, ImportError> = words
                    .map(|word| match word.split_once('=') {
                        Some((key, value)) => Ok((key.to_owned(), Some(value.to_owned()))),
                        None => Err(bad("behind a host, there are variables as name=value only")),
                    })
                    .collect();
                into.host(&group, &host, &variables?, line)?;
            }
            Section::Children => {
                let child = trimmed.split(['#', ' ']).next().unwrap_or_default().to_owned();
                into.group(&child);
                into.group(&group).children.insert(child);
            }
            Section::Variables => {
                let (key, value) = trimmed.split_once('=').ok_or_else(|| bad("a variable is name=value"))?;
                let value = value.trim();
                let quoted = ['\'', '"'].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
                let value = quoted.unwrap_or_else(|| value.split(" #").next().unwrap_or_default().trim_end());
                into.group(&group).variables.insert(key.trim().to_owned(), Some(value.to_owned()));
            }
        }
    }
    Ok(())
}

/// The words of a line as a shell would split it; a `#` between words ends it.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('#', None) if word.is_none() => break,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('\\', None) => word.get_or_insert_default().extend(chars.next()),
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}
