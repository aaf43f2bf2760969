//! Words whose full stop is their own.

use super::{
    source::{Form, Hit, Source, is_line_break, is_space},
    tags, words,
};

/// Kept whole within a sentence. At its end the full stop is the abbreviation's and the sentence's, and
/// counts twice. Written in any case, but for those of [`CAPITAL`] and [`LOWER`].
const ENDING: &str = "Al Ala Apr Ariz Ark Assn Aug Az Bancorp Bhd Bldg Blvd Bros Calif Co Colo Conn Corp \
    Cos Ct Dak Dec Del Ed.D Esq Est Etc Ext Feb Fla Fri Ga Ill Inc Ind Intl Jan Jr Jul Jun Kan Kans Ky La \
    Ltd Mar Mass Md Mich Minn Miss Mo Mon Mont Neb Nev Nov Oct Okla Ore Pa Penn Ph.D Plc Ppte Ppty Pte \
    Ptes Pty Ptys Rd Rt Sep Sept Seq Sq Sr Sys Tel Tenn Tex Thu Thurs Tue Tues Univ Va Vt Wash Wed Wis \
    Wisc Wyo";

/// Kept whole wherever they stand.
const WHOLE: &str = "Adj Adm Adv Alex Assoc Asst Atty Attys Ave Brig Capt Cf Cie Cmdr Col Comdr Cpl Dept \
    Det Dr Drs Elec Ens Ft Gen Gov Govs Hon Insp Invt Jos Lieut Lt Maj Messrs Mfg Mlle Mme Mr Mrs Ms Msgr \
    Mt Mtg Natl Pfc Ph Pres Prof Profs Pvt Rep Reps Rev Sen Sens Sfc Sgt Spc St Ste Supt Supts Treas Vs Wm";

/// Kept whole before a number.
const BEFORE_NUMBER: &str = "Art Bldg Ca Fig Figs No Nos Op Pp Prop";

/// After an acronym and before a space these begin a sentence, with a capital.
const FIRST_WORDS: &str = "A About According After An As At But Earlier He Her Here However If In It Last \
    Many More Mr. Ms. Now Once One Other Our She Since So Some Such That The Their Then There These They \
    This We What When While Yet You";

/// Pairs that count as one acronym.
const PARTNERS: [&str; 8] = [
    "Canada-U.S.",
    "Sino-U.S.",
    "Korean-U.S.",
    "EU-U.S.",
    "Japan-U.S.",
    "non-U.S.",
    "U.S.-U.K.",
    "U.S.-U.S.S.R.",
];

/// Those that begin with a capital, because in lower case they are other words.
const CAPITAL: &str = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash";

/// Those that are lower case after their first letter.
const LOWER: &str = "Mfg Mtg Ppte Ppty Pte Ptes Pty Ptys";

/// The longest of them.
const MAX_LEN: usize = 7;

/// `Mon.`, `Inc.`, `Ph.D.`
pub(super) fn ending(s: &Source, from: usize) -> Option<Hit> {
    let end = listed(s, from, ENDING)?;
    let gap = |place: usize| is_space(s.at(place)) || is_line_break(s.at(place));
    let sentence_ends = gap(end)
        && (gap(end + 1) || s.at(end + 1).is_uppercase() || tags::tag(s, end + 1).is_some());
    if sentence_ends || s.utf16_after(end) < 2 {
        let reach = if sentence_ends { end + 2 } else { end };
        return Some(Hit::before(end, reach, Form::StopTwice));
    }
    Some(Hit::before(end, end + 2, Form::Plain))
}

/// `Dr.`
pub(super) fn whole(s: &Source, from: usize) -> Option<Hit> {
    Some(Hit::new(listed(s, from, WHOLE)?, Form::Plain))
}

/// `U.S.`; before the first word of a sentence its last full stop counts twice.
pub(super) fn acronym(s: &Source, from: usize) -> Option<Hit> {
    let pair = PARTNERS.iter().find_map(|countries| s.literal(from, countries));
    let end = pair.or_else(|| words::acronym(s, from))?;
    Some(match next_sentence(s, end) {
        Some(reach) => Hit::before(end, reach, Form::StopTwice),
        None => Hit::new(end, Form::Plain),
    })
}

/// `A.`; before the first word of a sentence the full stop is the sentence's.
pub(super) fn initial(s: &Source, from: usize) -> Option<Hit> {
    if !s.at(from).is_ascii_alphabetic() || s.at(from + 1) != '.' {
        return None;
    }
    Some(match next_sentence(s, from + 2) {
        Some(reach) => Hit::before(from + 1, reach, Form::Plain),
        None => Hit::new(from + 2, Form::Plain),
    })
}

/// The place behind the first word of a next sentence: one of [`FIRST_WORDS`] or a tag, between spaces.
fn next_sentence(s: &Source, from: usize) -> Option<usize> {
    let gap = |c| is_space(c) || is_line_break(c);
    let start = s.run(from, gap);
    if start == from {
        return None;
    }
    let capital = s.at(start).is_ascii_uppercase();
    let word = s.run_of(start, MAX_LEN + 3, |c| c.is_ascii_alphabetic());
    let word = if s.at(word) == '.' { word + 1 } else { word };
    let written: String = s.slice(start, word.min(s.len())).iter().collect();
    let first = FIRST_WORDS.split(' ').any(|it| it.eq_ignore_ascii_case(&written));
    let tag = || tags::tag(s, start).map(|hit| hit.end);
    let end = if capital && first { Some(word) } else { tag() }?;
    gap(s.at(end)).then_some(end + 1)
}

/// `Fig. 3`
pub(super) fn before_number(s: &Source, from: usize) -> Option<Hit> {
    let end = listed(s, from, BEFORE_NUMBER)?;
    let gap = is_space(s.at(end)) || is_line_break(s.at(end));
    let number = end + usize::from(gap);
    s.at(number).is_ascii_digit().then(|| Hit::before(end, number + 1, Form::Plain))
}

/// The place behind the full stop of a listed word.
fn listed(s: &Source, from: usize, list: &str) -> Option<usize> {
    let word = s.run_of(from, MAX_LEN + 1, |c| c.is_ascii_alphabetic());
    let degree = s.literal(word, ".d").filter(|_| word == from + 2);
    [degree, Some(word)].into_iter().flatten().find_map(|end| {
        if end == from || s.at(end) != '.' {
            return None;
        }
        let written: String = s.slice(from, end).iter().collect();
        let is_in = |list: &str| list.split(' ').any(|word| word.eq_ignore_ascii_case(&written));
        let capital = written.starts_with(|c: char| c.is_ascii_uppercase());
        let lower = !written[1..].contains(|c: char| c.is_ascii_uppercase());
        let fits = is_in(list) && (capital || !is_in(CAPITAL)) && (lower || !is_in(LOWER));
        fits.then_some(end + 1)
    })
}
