//! A boundary around libraries that panic on files which they do not expect, and what is checked of
//! such files before: how deep they are nested, and how many values they hold.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What a library said when it gave up, or nothing that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked(pub String);

thread_local! {
    /// Boundaries around what this thread does.
    static INSIDE: Cell<usize> = const { Cell::new(0) };
}

/// Boundaries around what any thread does.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);

/// The start of the names of threads that work for a library; it hands their panics on.
const WORKERS: [&str; 1] = ["polars"];

/// Runs `work`; a panic inside it becomes an error, and nothing is printed. What `work` was changing
/// when it panicked must not be used afterwards.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !is_guarded() {
                tell(info);
            }
        }));
    });
    let _inside = Inside::enter();
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|said| {
        let text = said.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| said.downcast_ref::<String>().cloned()).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        Panicked(line.chars().take(200).collect::<String>().replace(char::is_control, " "))
    })
}

fn is_guarded() -> bool {
    let is_worker = || {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        WORKERS.iter().any(|start| name.starts_with(start))
    };
    INSIDE.get() > 0 || (ACTIVE.load(Ordering::Relaxed) > 0 && is_worker())
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        INSIDE.set(INSIDE.get() + 1);
        ACTIVE.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
        ACTIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How deep blocks and lists of JSON lie in each other, whether it is JSON or not.
pub fn json_depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// How deep elements of XML lie in each other, whether it is XML or not.
pub fn xml_depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let passed = [("!--", "-->"), ("![CDATA[", "]]>"), ("?", "?>")];
        if let Some((start, end)) = passed.iter().find(|(start, _)| rest.starts_with(start)) {
            rest = rest[start.len()..].split_once(end).map_or("", |(_, after)| after);
        } else if rest.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else {
            let (length, empty) = tag(rest);
            rest = &rest[length..];
            deepest = deepest.max(depth + 1);
            depth += usize::from(!empty);
        }
    }
    deepest
}

/// The length of a start tag, and whether its element ends in it.
fn tag(text: &str) -> (usize, bool) {
    let (mut quote, mut last) = (None, '<');
    for (at, c) in text.char_indices() {
        match quote {
            Some(mark) if c == mark => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '>' => return (at + 1, last == '/'),
            None => last = c,
        }
    }
    (text.len(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_the_next_call_is_not_harmed() {
        assert_eq!(guarded(|| 1 + 1), Ok(2));
        let stand_in = || -> usize { panic!("index {} out of range\nand more", 3) };
        assert_eq!(guarded(stand_in), Err(Panicked("index 3 out of range".to_owned())));
        assert_eq!(guarded(|| guarded(stand_in)), Ok(Err(Panicked("index 3 out of range".into()))));
        assert!(!is_guarded());
        assert_eq!(guarded(is_guarded), Ok(true));
    }

    #[test]
    fn depth_is_of_blocks_and_not_of_what_stands_in_texts() {
        assert_eq!(json_depth(br#"{"a": [1, {"b": "[[[["}], "c\"[": []}"#), 3);
        assert_eq!(json_depth(b"1"), 0);
        assert_eq!(json_depth(b"]]{"), 1);
        let text = "<?xml v='1'?><a b='>/'><!-- <x><y><z> --><c/><d><e f=\"/\"/></d><g>1</g></a>";
        assert_eq!(xml_depth(text), 3);
        assert_eq!(xml_depth("<a><b><c>"), 3);
        assert_eq!(xml_depth("no tags < at all"), 1);
    }
}
