//! What is said of the words in a clause: that it is so, that it is not, or that it may be.

use std::ops::Range;

use super::find::match_words;

/// Words before a form that deny it.
const DENIES: [&str; 17] = [
    "no",
    "not",
    "without",
    "denies",
    "denied",
    "neither",
    "nor",
    "never",
    "absence of",
    "lack of",
    "free of",
    "negative for",
    "rules out",
    "ruled out",
    "excludes",
    "isn't",
    "wasn't",
];
/// Words before a form that leave it open.
const DOUBTS: [&str; 16] = [
    "possible",
    "possibly",
    "may",
    "might",
    "could",
    "perhaps",
    "suspected",
    "suspicious for",
    "questionable",
    "equivocal",
    "uncertain",
    "unclear",
    "cannot exclude",
    "cannot rule out",
    "whether",
    "not certain",
];
/// Words soon after a form that deny it.
const DENIED: [&str; 12] = [
    "absent",
    "not seen",
    "not present",
    "not observed",
    "not found",
    "not detected",
    "not evident",
    "ruled out",
    "excluded",
    "unlikely",
    "not increased",
    "lacking",
];
/// Words soon after a form that leave it open.
const DOUBTED: [&str; 11] = [
    "cannot be excluded",
    "cannot be ruled out",
    "not excluded",
    "not ruled out",
    "is possible",
    "are possible",
    "suspected",
    "questionable",
    "uncertain",
    "unclear",
    "equivocal",
];
/// Look like denials and are none.
const NO_DENIALS: [&str; 2] = ["not only", "no doubt"];
/// Words after which another statement begins.
const CONTRASTS: [&str; 8] =
    ["but", "however", "although", "though", "whereas", "while", "yet", "except"];
/// So far behind a form its denial may stand, in words.
const MOST_WORDS_AFTER: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Polarity {
    Affirmed,
    Denied,
    Doubted,
}

/// The parts of `text[within]` that say one thing each: between full stops, semicolons, line ends and words
/// such as *but*.
pub(super) fn clauses(text: &str, within: Range<usize>) -> Vec<Range<usize>> {
    let mut clauses = Vec::new();
    let mut start = within.start;
    let body = &text[within.clone()];
    for (idx, c) in body.char_indices() {
        let at = within.start + idx;
        if at < start {
            continue;
        }
        let after = at + c.len_utf8();
        let ends = match c {
            ';' | '!' | '?' | '\n' => true,
            '.' => text[after..within.end].chars().next().is_none_or(char::is_whitespace),
            _ => false,
        };
        if ends {
            clauses.push(start..at);
            start = after;
        } else if at > start
            && CONTRASTS.iter().any(|it| match_words(text, at, within.end, it).is_some())
        {
            clauses.push(start..at);
            start = at;
        }
    }
    clauses.push(start..within.end);
    clauses.retain(|range| !text[range.clone()].trim().is_empty());
    clauses
}

/// What a clause says of the words at `hit`.
pub(super) fn polarity(text: &str, clause: &Range<usize>, hit: &Range<usize>) -> Polarity {
    let before = clause.start..hit.start;
    let after = hit.end..soon_after(text, hit.end, clause.end);
    if reaches(text, &before, clause.end, &DOUBTS) || first(text, &after, &DOUBTED) {
        Polarity::Doubted
    } else if reaches(text, &before, clause.end, &DENIES) || first(text, &after, &DENIED) {
        Polarity::Denied
    } else {
        Polarity::Affirmed
    }
}

/// Whether one of `cues` stands in `before` and still holds where that ends. A comma ends what a cue says,
/// but in a list that goes on with *or*.
fn reaches(text: &str, before: &Range<usize>, end: usize, cues: &[&str]) -> bool {
    let starts = text[before.clone()].char_indices().map(|(idx, _)| before.start + idx);
    starts.into_iter().any(|at| {
        let denies_nothing =
            NO_DENIALS.iter().any(|it| match_words(text, at, before.end, it).is_some());
        let longest = cues.iter().filter_map(|cue| match_words(text, at, before.end, cue)).max();
        let Some(cue_end) = longest.filter(|_| !denies_nothing) else { return false };
        let mut commas = text[cue_end..before.end].match_indices(',');
        commas.all(|(idx, _)| continues_list(&text[cue_end + idx + 1..end]))
    })
}

fn continues_list(rest: &str) -> bool {
    let mut words = rest.split_whitespace();
    words.any(|word| word.eq_ignore_ascii_case("or") || word.eq_ignore_ascii_case("nor"))
}

fn first(text: &str, after: &Range<usize>, cues: &[&str]) -> bool {
    let mut starts = text[after.clone()].char_indices().map(|(idx, _)| after.start + idx);
    starts.any(|at| cues.iter().any(|cue| match_words(text, at, after.end, cue).is_some()))
}

/// The end of the few words that still speak of what ends at `start`.
fn soon_after(text: &str, start: usize, end: usize) -> usize {
    let rest = &text[start..end];
    let rest = &rest[..rest.find([',', '(', ')']).unwrap_or(rest.len())];
    let mut in_word = false;
    let mut n_words = 0;
    for (idx, c) in rest.char_indices() {
        if c.is_whitespace() {
            in_word = false;
        } else if !in_word {
            in_word = true;
            n_words += 1;
            if n_words > MOST_WORDS_AFTER {
                return start + idx;
            }
        }
    }
    start + rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Polarity {
        let start = text.find("artefact").expect("the text speaks of it");
        let hit = start..start + "artefact".len();
        let all = clauses(text, 0..text.len());
        let clause = all.iter().find(|it| it.contains(&start)).unwrap();
        polarity(text, clause, &hit)
    }

    #[test]
    fn denials_are_heard_before_and_behind() {
        for text in [
            "There is no evidence of artefact.",
            "The person denies artefact",
            "Without any artefact.",
            "No drift, spikes or artefact.",
            "Absence of motion or artefact",
            "An artefact was not seen.",
            "artefact is absent, drift is not",
            "Negative for artefact",
        ] {
            assert_eq!(of(text), Polarity::Denied, "{text}");
        }
        for text in [
            "There is an artefact.",
            "No drift. There is an artefact.",
            "No drift, but an artefact.",
            "Without drift, an artefact is seen",
            "Not only drift and artefact.",
            "artefact, while drift is absent",
            "Nothing but artefact",
            "Norm artefact, notable",
            "artefact is seen all over the frontal lobe, drift is absent",
        ] {
            assert_eq!(of(text), Polarity::Affirmed, "{text}");
        }
    }

    #[test]
    fn doubt_is_no_statement() {
        for text in [
            "Possible artefact.",
            "There may be an artefact",
            "An artefact cannot be excluded.",
            "artefact is not excluded",
            "Cannot rule out artefact",
            "It is unclear whether there is an artefact",
        ] {
            assert_eq!(of(text), Polarity::Doubted, "{text}");
        }
    }

    #[test]
    fn clauses_end_where_another_statement_begins() {
        let text = "A of 0.21 mm; B is so, whereas C\nD e.g. 3. E";
        let all: Vec<&str> =
            clauses(text, 0..text.len()).into_iter().map(|it| text[it].trim()).collect();
        assert_eq!(all, ["A of 0.21 mm", "B is so,", "whereas C", "D e.g", "3", "E"]);
        assert!(clauses("", 0..0).is_empty());
    }
}
