//! VQA accuracy of short answers, with the normalisation of the VQA challenge.
//!
//! OpenFlamingo 2.0.1 scores as the challenge's own script does, with faults that published numbers rest on;
//! [`Rules`] says which of them an answer is compared by.

use super::{at_least, mean, ptb::source::is_digit};
use crate::Result;

/// How answers are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// As the rules are meant: every full stop goes that stands in no number; a comma goes where it parts
    /// thousands, and any other mark parts words; an article is left out where it is a word by itself, and
    /// never if nothing else is left; `im` is `i'm`.
    #[default]
    Meant,
    /// As OpenFlamingo 2.0.1 and the challenge's script have them: only the first 32 full stops go; one comma
    /// between digits makes every mark vanish, and so does one space beside a mark for all of its kind;
    /// `a=b` is `b`, its `a` being taken for an article; `im` gets no apostrophe and `somebody'd` loses its own.
    OpenFlamingo,
}

/// Removed beside a space, or where a comma parts digits; otherwise a space takes their place.
const PUNCTUATION: &str = ";/[]\"{}()=+\\_-><@`,?!";

/// The original means a flag and passes it as a count: no more full stops are removed.
const MOST_STOPS: usize = 32;

const ARTICLES: [&str; 3] = ["a", "an", "the"];

const NUMBERS: [(&str, &str); 12] = [
    ("none", "0"),
    ("zero", "0"),
    ("one", "1"),
    ("two", "2"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
    ("six", "6"),
    ("seven", "7"),
    ("eight", "8"),
    ("nine", "9"),
    ("ten", "10"),
];

/// Contractions, each with what is written for it where that is not the word without its apostrophes.
const CONTRACTIONS: &str = "ain't aren't can't could've couldn't couldn't've:couldn'tve,couldnt've didn't doesn't don't \
    hadn't hadn't've:hadnt've,hadn'tve hasn't haven't he'd he'd've:hed've,he'dve he's how'd \
    how'll how's isn't it'd it'd've:itd've,it'dve it'll ma'am mightn't \
    mightn't've:mightnt've,mightn'tve might've mustn't must've needn't not've o'clock oughtn't \
    'ow's'at:ow's'at,'ows'at,'ow'sat shan't she'd've:shed've,she'dve should've shouldn't \
    shouldn't've:shouldnt've,shouldn'tve \
    somebody'd've:somebodyd've,somebody'dve somebody'll somebody's someone'd \
    someone'd've:someoned've,someone'dve someone'll someone's something'd \
    something'd've:somethingd've,something'dve something'll that's there'd \
    there'd've:thered've,there'dve there're there's they'd they'd've:theyd've,they'dve they'll \
    they're they've 'twas wasn't we'd've:wed've,we'dve we've weren't what'll what're what's \
    what've when's where'd where's where've who'd who'd've:whod've,who'dve who'll who's who've \
    why'll why're why's won't would've wouldn't wouldn't've:wouldnt've,wouldn'tve y'all \
    y'all'll:yall'll,y'allll y'all'd've:yall'd've,y'alld've,y'all'dve you'd \
    you'd've:youd've,you'dve you'll you're you've";

/// Those that the original never finds, because it looks for a capital in text of lower case, and one that it
/// has the wrong way round.
const MEANT_CONTRACTIONS: &str = "i'd've:id've,i'dve i'm i've somebody'd";

const TURNED_CONTRACTION: &str = "somebodyd:somebody'd";

/// The answer in what a model wrote: up to the next question, and up to a comma.
///
/// ```
/// use report::metrics::vqa::answer;
/// assert_eq!(answer("left, mostly"), "left");
/// assert_eq!(answer("no Question: and now?"), "no ");
/// ```
pub fn answer(generated: &str) -> &str {
    let next = ["Question", "Answer", "Short"].iter().filter_map(|word| generated.find(word)).min();
    let answer = &generated[..next.unwrap_or(generated.len())];
    answer.split_once(", ").map_or(answer, |(first, _)| first)
}

/// An answer as answers are compared: without most punctuation and articles, in lower case, numbers up to
/// ten in digits, contractions with their apostrophes.
///
/// ```
/// use report::metrics::vqa::{Rules, normalised};
/// assert_eq!(normalised("The two cats, dont.", Rules::Meant), "2 cats don't");
/// assert_eq!(normalised("Im at a=b", Rules::Meant), "i'm at a b");
/// assert_eq!(normalised("Im at a=b", Rules::OpenFlamingo), "im at b");
/// ```
pub fn normalised(answer: &str, rules: Rules) -> String {
    let words = match rules {
        Rules::Meant => meant_words(answer),
        Rules::OpenFlamingo => {
            let plain = without_punctuation(answer).to_lowercase();
            let words = plain.split_whitespace().map(in_digits);
            words.filter(|word| !ARTICLES.contains(word)).map(str::to_owned).collect()
        }
    };
    let words = words.iter().map(|word| with_apostrophes(word, rules));
    words.collect::<Vec<_>>().join(" ")
}

fn in_digits(word: &str) -> &str {
    let number = NUMBERS.iter().find(|(name, _)| *name == word);
    number.map_or(word, |(_, digits)| *digits)
}

/// The words of an answer, without articles.
fn meant_words(answer: &str) -> Vec<String> {
    let (mut kept, mut all) = (Vec::new(), Vec::new());
    for chunk in answer.split_whitespace() {
        let plain = parted(&chunk.to_lowercase());
        let words: Vec<String> = plain
            .split(' ')
            .filter(|it| !it.is_empty())
            .map(in_digits)
            .map(str::to_owned)
            .collect();
        let is_article = matches!(&words[..], [only] if ARTICLES.contains(&only.as_str()));
        if !is_article {
            kept.extend(words.iter().cloned());
        }
        all.extend(words);
    }
    if kept.is_empty() { all } else { kept }
}

/// What stands between two spaces, with spaces where marks part it and without those that belong to numbers
/// or to nothing.
fn parted(chunk: &str) -> String {
    let chars: Vec<char> = chunk.chars().collect();
    let digit = |at: usize| chars.get(at).is_some_and(|c| is_digit(*c));
    let mut text = String::new();
    for (at, &c) in chars.iter().enumerate() {
        match c {
            '.' if !digit(at + 1) => {}
            ',' if at > 0 && digit(at - 1) && digit(at + 1) => {
                let is_of_thousands = digit(at + 2) && digit(at + 3) && !digit(at + 4);
                if !is_of_thousands {
                    text.push(c);
                }
            }
            c if PUNCTUATION.contains(c) => text.push(' '),
            c => text.push(c),
        }
    }
    text
}

/// The first step of [`normalised`] by the rules of OpenFlamingo.
pub fn without_punctuation(answer: &str) -> String {
    let chars: Vec<char> = answer.replace(['\n', '\t'], " ").trim().chars().collect();
    let in_number = chars.windows(3).any(|it| is_digit(it[0]) && it[1] == ',' && is_digit(it[2]));
    let beside_space: Vec<char> = chars
        .windows(2)
        .flat_map(|it| [(it[0], it[1]), (it[1], it[0])])
        .filter(|(_, beside)| *beside == ' ')
        .map(|(mark, _)| mark)
        .collect();
    let plain = chars.iter().filter_map(|c| match PUNCTUATION.contains(*c) {
        false => Some(*c),
        true if in_number || beside_space.contains(c) => None,
        true => Some(' '),
    });
    let plain: Vec<char> = plain.collect();
    let mut n_stops = 0;
    let mut kept = String::new();
    for (idx, c) in plain.iter().enumerate() {
        let within_number = plain.get(idx + 1).is_some_and(|next| is_digit(*next));
        if *c == '.' && !within_number && n_stops < MOST_STOPS {
            n_stops += 1;
        } else {
            kept.push(*c);
        }
    }
    kept
}

/// The contraction that is meant by a word, or the word.
fn with_apostrophes(word: &str, rules: Rules) -> &str {
    let others = match rules {
        Rules::Meant => MEANT_CONTRACTIONS,
        Rules::OpenFlamingo => TURNED_CONTRACTION,
    };
    let mut entries = CONTRACTIONS.split(' ').chain(others.split(' '));
    let meant = entries.find_map(|entry| match entry.split_once(':') {
        Some((full, written)) => written.split(',').any(|it| it == word).then_some(full),
        None => (!word.contains('\'') && entry.replace('\'', "") == word).then_some(entry),
    });
    meant.unwrap_or(word)
}

/// VQA accuracy of one answer, 0 to 1: over the people asked, the mean of what it is worth beside the
/// answers of all others, 1 where three or more of them agree and a third for each that does.
///
/// ```
/// use report::metrics::vqa::accuracy;
/// // each of the two who say it has one to agree with, the third has two
/// let found = accuracy("the left", &["left", "Left.", "right"]).unwrap();
/// assert!((found - 4.0 / 9.0).abs() < 1e-12);
/// ```
pub fn accuracy<T: AsRef<str>>(answer: &str, people: &[T]) -> Result<f64> {
    let given: Vec<String> =
        people.iter().map(|it| normalised(it.as_ref(), Rules::Meant)).collect();
    leave_one_out(&normalised(answer, Rules::Meant), &given, |a, b| a == b)
}

/// The same by the rules of OpenFlamingo, where each person is an answer and whatever else the file says of it.
///
/// It leaves out not one person at a time but everybody whose entry is equal: where a file numbers no answers,
/// as those of VizWiz, people who agree in everything are left out together.
///
/// ```
/// use report::metrics::vqa::accuracy_as_open_flamingo;
/// let numbered = [("left", "1"), ("left", "2"), ("left", "3"), ("left", "4")];
/// assert_eq!(accuracy_as_open_flamingo("left", &numbered).unwrap(), 1.0);
/// let alike = [("left", "sure"); 4];
/// assert_eq!(accuracy_as_open_flamingo("left", &alike).unwrap(), 0.0);
/// ```
pub fn accuracy_as_open_flamingo<T: AsRef<str>>(answer: &str, people: &[(T, T)]) -> Result<f64> {
    let given: Vec<String> =
        people.iter().map(|(it, _)| normalised(it.as_ref(), Rules::OpenFlamingo)).collect();
    let rest: Vec<&str> = people.iter().map(|(_, rest)| rest.as_ref()).collect();
    let is_same = |a: usize, b: usize| given[a] == given[b] && rest[a] == rest[b];
    leave_one_out(&normalised(answer, Rules::OpenFlamingo), &given, is_same)
}

/// The mean over people of what an answer is worth beside those who are not the same person.
fn leave_one_out(
    answer: &str,
    given: &[String],
    is_same: impl Fn(usize, usize) -> bool,
) -> Result<f64> {
    at_least("answers of people", given.len(), 1)?;
    let worth = |own: usize| {
        let others = (0..given.len()).filter(|&other| !is_same(own, other));
        let n_agree = others.filter(|&other| given[other] == answer).count();
        (n_agree as f64 / 3.0).min(1.0)
    };
    Ok(mean(&(0..given.len()).map(worth).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_normalised_as_the_challenge_does() {
        // as OpenFlamingo 2.0.1's VQAEval gives them
        for (raw, expected) in [
            ("Two cats", "2 cats"),
            ("None.", "0"),
            ("Dont know", "don't know"),
            ("couldntve", "couldntve"),
            ("couldnt've", "couldn't've"),
            ("Im", "im"),
            ("somebody'd", "somebodyd"),
            ("10,5 cm", "105 cm"),
            ("left-right", "left right"),
            ("left - right", "left right"),
            ("a=b", "b"),
            ("U.S.", "us"),
            ("3.14.", "3.14"),
            ("new\nline", "new line"),
            ("a the an", ""),
            ("...", ""),
        ] {
            assert_eq!(normalised(raw, Rules::OpenFlamingo), expected, "{raw}");
        }
        let stops = "x. ".repeat(40);
        assert_eq!(normalised(&stops, Rules::OpenFlamingo).matches('.').count(), 8);
    }

    #[test]
    fn the_rules_as_they_are_meant() {
        // what both have in common, and then each fault once
        for (raw, expected) in [
            ("Two cats", "2 cats"),
            ("None.", "0"),
            ("Dont know", "don't know"),
            ("left - right", "left right"),
            ("U.S.", "us"),
            ("3.14.", "3.14"),
            ("new\nline", "new line"),
            ("...", ""),
            ("Im", "i'm"),
            ("Ive", "i've"),
            ("somebody'd", "somebody'd"),
            ("somebodyd", "somebody'd"),
            ("10,5 cm", "10,5 cm"),
            ("10,000 cm", "10000 cm"),
            ("1,234,567", "1234567"),
            ("1,000 left-right", "1000 left right"),
            ("a - b-c", "b c"),
            ("a=b", "a b"),
            ("the, a", "the a"),
            ("A", "a"),
        ] {
            assert_eq!(normalised(raw, Rules::Meant), expected, "{raw}");
        }
        assert!(!normalised(&"x. ".repeat(40), Rules::Meant).contains('.'));
    }

    #[test]
    fn an_answer_is_worth_a_third_for_each_who_agrees() {
        let of = |n: usize| {
            let people: Vec<&str> = (0..10).map(|idx| if idx < n { "yes" } else { "no" }).collect();
            accuracy("Yes!", &people).unwrap()
        };
        let expected = [0.0, 0.3, 0.6, 0.9, 1.0, 1.0];
        for (n, expected) in expected.into_iter().enumerate() {
            assert!((of(n) - expected).abs() < 1e-12, "{n}: {}", of(n));
        }
        assert!(accuracy::<&str>("yes", &[]).is_err());
    }

    #[test]
    fn accuracies_are_those_of_open_flamingos_script() {
        // made by `fixtures/metrics/make_vqa.py` with open-flamingo 2.0.1; two of three questions number no answers
        let recorded = include_str!("../../../../fixtures/metrics/vqa.json");
        let recorded: Vec<serde_json::Value> = serde_json::from_str(recorded).unwrap();
        let mut n_other = 0;
        for question in &recorded {
            let entries = question["answers"].as_array().unwrap().iter().map(|entry| {
                let mut rest = entry.as_object().unwrap().clone();
                let answer = rest.remove("answer").unwrap().as_str().unwrap().to_owned();
                (answer, serde_json::Value::Object(rest).to_string())
            });
            let people: Vec<(String, String)> = entries.collect();
            let predicted = question["predicted"].as_str().unwrap();
            let found = accuracy_as_open_flamingo(predicted, &people).unwrap();
            let expected = question["accuracy_percent"].as_f64().unwrap();
            assert!((100.0 * found - expected).abs() < 1e-6, "{predicted} {people:?}: {found}");
            let answers: Vec<&str> = people.iter().map(|it| it.0.as_str()).collect();
            n_other += usize::from((accuracy(predicted, &answers).unwrap() - found).abs() > 1e-6);
        }
        assert!(recorded.len() == 60 && n_other > 10, "{n_other}");
    }

    #[test]
    fn people_who_agree_in_everything_are_left_out_together_in_open_flamingo() {
        // five of ten say yes, three of them surely: each of those has two others left, each of the two unsure
        // ones has three, and those who say no have all five
        let sure = |idx: usize| if idx < 3 { "yes" } else { "maybe" };
        let people: Vec<(&str, &str)> =
            (0..10).map(|idx| (if idx < 5 { "yes" } else { "no" }, sure(idx))).collect();
        let found = accuracy_as_open_flamingo("yes", &people).unwrap();
        let by_hand = (3.0 * 2.0 / 3.0 + 2.0 + 5.0) / 10.0;
        assert!((found - by_hand).abs() < 1e-12, "{found}");
        // nobody is left beside ten who are alike
        assert_eq!(accuracy_as_open_flamingo("yes", &[("yes", "yes"); 10]).unwrap(), 0.0);
        let answers: Vec<&str> = people.iter().map(|it| it.0).collect();
        assert_eq!(accuracy("yes", &answers).unwrap(), 1.0);
    }
}
