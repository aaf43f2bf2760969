//! VQA accuracy of short answers, with the normalisation of the VQA challenge as OpenFlamingo 2.0.1 has it.
//!
//! Its faults are kept, because published numbers rest on them: see [`normalised`].

use super::{at_least, mean, ptb::source::is_digit};
use crate::Result;

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

/// Contractions, each with what is written for it where that is not the word without its apostrophes. Those
/// that begin with `I` are left out: text is in lower case, and the original never finds them.
const CONTRACTIONS: &str = "ain't aren't can't could've couldn't couldn't've:couldn'tve,couldnt've didn't doesn't don't \
    hadn't hadn't've:hadnt've,hadn'tve hasn't haven't he'd he'd've:hed've,he'dve he's how'd \
    how'll how's isn't it'd it'd've:itd've,it'dve it'll ma'am mightn't \
    mightn't've:mightnt've,mightn'tve might've mustn't must've needn't not've o'clock oughtn't \
    'ow's'at:ow's'at,'ows'at,'ow'sat shan't she'd've:shed've,she'dve should've shouldn't \
    shouldn't've:shouldnt've,shouldn'tve somebodyd:somebody'd \
    somebody'd've:somebodyd've,somebody'dve somebody'll somebody's someone'd \
    someone'd've:someoned've,someone'dve someone'll someone's something'd \
    something'd've:somethingd've,something'dve something'll that's there'd \
    there'd've:thered've,there'dve there're there's they'd they'd've:theyd've,they'dve they'll \
    they're they've 'twas wasn't we'd've:wed've,we'dve we've weren't what'll what're what's \
    what've when's where'd where's where've who'd who'd've:whod've,who'dve who'll who's who've \
    why'll why're why's won't would've wouldn't wouldn't've:wouldnt've,wouldn'tve y'all \
    y'all'll:yall'll,y'allll y'all'd've:yall'd've,y'alld've,y'all'dve you'd \
    you'd've:youd've,you'dve you'll you're you've";

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
/// Kept from the original: only the first 32 full stops go; `a=b` is `b`, its `a` being taken for an article;
/// `im` gets no apostrophe; `10,5` is `105`.
///
/// ```
/// use report::metrics::vqa::normalised;
/// assert_eq!(normalised("The two cats, dont."), "2 cats don't");
/// ```
pub fn normalised(answer: &str) -> String {
    let plain = without_punctuation(answer).to_lowercase();
    let words = plain.split_whitespace().map(|word| {
        let number = NUMBERS.iter().find(|(name, _)| *name == word);
        number.map_or(word, |(_, digits)| *digits)
    });
    let kept = words.filter(|word| !ARTICLES.contains(word)).map(with_apostrophes);
    kept.collect::<Vec<_>>().join(" ")
}

/// The first step of [`normalised`].
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
fn with_apostrophes(word: &str) -> &str {
    let meant = CONTRACTIONS.split(' ').find_map(|entry| match entry.split_once(':') {
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
    at_least("answers of people", people.len(), 1)?;
    let answer = normalised(answer);
    let agree: Vec<bool> = people.iter().map(|it| normalised(it.as_ref()) == answer).collect();
    let n_agree = agree.iter().filter(|it| **it).count();
    let worth = agree.iter().map(|own| ((n_agree - usize::from(*own)) as f64 / 3.0).min(1.0));
    Ok(mean(&worth.collect::<Vec<_>>()))
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
            assert_eq!(normalised(raw), expected, "{raw}");
        }
        let stops = "x. ".repeat(40);
        assert_eq!(normalised(&stops).matches('.').count(), 8);
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
}
