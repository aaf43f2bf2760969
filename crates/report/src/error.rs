//! What can be wrong with slots, prompts and tables of results.

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A sentence about the user's slots, template or numbers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two slots share a name.
    #[error("slot {slot} is listed twice")]
    DuplicateSlot {
        /// The shared name.
        slot: String,
    },
    /// A name that is no slot.
    #[error("there is no slot {slot}, expected one of {}", expected.join(", "))]
    UnknownSlot {
        /// The name that was asked for.
        slot: String,
        /// The slots there are.
        expected: Vec<String>,
    },
    /// A name that is no value of a slot.
    #[error("slot {slot} has no value {value}, expected one of {}", expected.join(", "))]
    UnknownValue {
        /// The slot.
        slot: String,
        /// The value that was asked for.
        value: String,
        /// The values there are.
        expected: Vec<String>,
    },
    /// A label that a table has no row for.
    #[error("unknown value {label}, expected one of {}", expected.join(", "))]
    UnknownLabel {
        /// The label.
        label: String,
        /// The labels there are.
        expected: Vec<String>,
    },
    /// A slot that could never be scored.
    #[error("slot {slot} has {found} values, a slot needs at least 2")]
    TooFewValues {
        /// The slot.
        slot: String,
        /// How many values it has.
        found: usize,
    },
    /// A share of errors that nothing could keep.
    #[error(
        "slot {slot}: max_error is {found}, expected above 0 and below 1, of a slot with a probability of its own: \
         not a number, a set, or a derived slot"
    )]
    MaxError {
        /// The slot.
        slot: String,
        /// What was asked for.
        found: f64,
    },
    /// Forms correspond across values by their place, so every value needs as many.
    #[error("slot {slot}: value {value} has {found} surface forms, the first value has {expected}")]
    UnequalForms {
        /// The slot.
        slot: String,
        /// The value with another number of forms.
        value: String,
        /// Its number of forms.
        found: usize,
        /// The first value's number of forms, or 1 where that has none.
        expected: usize,
    },
    /// A form that would say two things, or one that says nothing.
    #[error("slot {slot}: surface form {form:?} of {value} is already a form of {other}")]
    SharedForm {
        /// The slot.
        slot: String,
        /// The form.
        form: String,
        /// The value it was found under.
        value: String,
        /// The value that had it before.
        other: String,
    },
    /// A surface form without a letter or digit at both ends cannot be found as whole words.
    #[error(
        "slot {slot}: surface form {form:?} of {value} must begin and end with a letter or digit"
    )]
    FormWithoutWords {
        /// The slot.
        slot: String,
        /// The value.
        value: String,
        /// The form.
        form: String,
    },
    /// A slot is of exactly one kind.
    #[error("slot {slot} has {found} of choice, ordinal, number, flag, set and values, expected 1")]
    SlotKinds {
        /// The slot.
        slot: String,
        /// How many kinds it names.
        found: usize,
    },
    /// A number that could not be written or scored.
    #[error("slot {slot}: a number needs {expected}")]
    NumberForm {
        /// The slot.
        slot: String,
        /// What its settings must be.
        expected: &'static str,
    },
    /// A member of a set whose name would be read as several, or as none.
    #[error("slot {slot}: the member {member:?} may hold no comma and may not be `none`")]
    MemberName {
        /// The slot.
        slot: String,
        /// The member.
        member: String,
    },
    /// A slot whose own sentences say something else.
    #[error("slot {slot} writes {sentence:?} for {value}, which reads back as {found}")]
    NotReadBack {
        /// The slot.
        slot: String,
        /// The sentence.
        sentence: String,
        /// What it is to say.
        value: String,
        /// What it says.
        found: String,
    },
    /// A true value of a table that the slot does not have.
    #[error("the true value of slot {slot} is {found:?}, expected {expected}")]
    BadTruth {
        /// The slot.
        slot: String,
        /// The cell.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// A slot that nothing could be scored by.
    #[error("slot {slot} cannot be scored: {problem}")]
    CannotBeScored {
        /// The slot.
        slot: String,
        /// Why.
        problem: &'static str,
    },
    /// Only one of several values follows from one of several values.
    #[error(
        "slot {slot} cannot be derived: it and the first scored slot must each be one of several values"
    )]
    NotDerivable {
        /// The slot.
        slot: String,
    },
    /// A statement of a composed report that could never be made.
    #[error("statement {statement}: {problem}")]
    StatementSpec {
        /// Its slot.
        statement: String,
        /// What is wrong.
        problem: String,
    },
    /// The scored slot cannot follow itself.
    #[error("slot {slot} is the scored one and cannot be derived from itself")]
    DerivedFromItself {
        /// The slot.
        slot: String,
    },
    /// A derived slot must know what follows from every scored value.
    #[error("derived slot {slot} does not say what follows from {scored}")]
    UnderivedValue {
        /// The derived slot.
        slot: String,
        /// The scored value without a consequence.
        scored: String,
    },
    /// A prompt template without its placeholder, or with more.
    #[error("prompt template {template:?} has {found} placeholders {{technique}}, expected 1")]
    TechniquePlaceholders {
        /// The template.
        template: String,
        /// How many there are.
        found: usize,
    },
    /// Words of a question that ask nothing, or place the technique twice.
    #[error("{}", question_words(words, *found))]
    QuestionWords {
        /// The words.
        words: String,
        /// How often the technique is placed.
        found: usize,
    },
    /// A placeholder nobody fills.
    #[error(
        "prompt template {template:?} has an unknown placeholder {placeholder}, expected {{technique}} and columns of \
         the table that say something of the person, such as {{age}}"
    )]
    UnknownPlaceholder {
        /// The template.
        template: String,
        /// The placeholder, with its braces.
        placeholder: String,
    },
    /// A file name needs a subject first.
    #[error("a report file name begins with the entity sub, found {found}")]
    NoSubject {
        /// The first entity.
        found: String,
    },
    /// An entity or label that is not BIDS.
    #[error(
        "{entity}-{label} is not a BIDS entity: lower-case letters, a hyphen, then letters, digits and +"
    )]
    BadEntity {
        /// The entity.
        entity: String,
        /// Its label.
        label: String,
    },
    /// Columns of different lengths.
    #[error("{what}: found {found}, expected {expected}")]
    Length {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// Too little to compute from.
    #[error("{what}: found {found}, expected at least {expected}")]
    TooFew {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are needed.
        expected: usize,
    },
    /// A number that is not one.
    #[error("{what} {idx} is {found}, expected a finite number")]
    NotFinite {
        /// What the number is.
        what: &'static str,
        /// Which one, from 0.
        idx: usize,
        /// The number.
        found: f64,
    },
    /// A class that is not there.
    #[error("class {found} of sample {sample} is out of range, there are {n_classes} classes")]
    ClassOutOfRange {
        /// Which sample, from 0.
        sample: usize,
        /// Its class.
        found: usize,
        /// How many classes there are.
        n_classes: usize,
    },
    /// People are divided by their class.
    #[error(
        "somebody has several classes, expected a class of people that is the same in all their recordings"
    )]
    ClassesOfPerson,
    /// No pair of windows whose scored slots differ, so nothing to choose between.
    #[error("every window has the scored value {value}, forced choice needs two different ones")]
    NothingToChoose {
        /// The only value.
        value: String,
    },
    /// A fit that stopped short of its tolerance.
    #[error(
        "{what} stopped after {iterations} iterations with gradient {gradient:e}, expected {tolerance:e}"
    )]
    NotConverged {
        /// What was fitted.
        what: &'static str,
        /// How many steps were taken.
        iterations: usize,
        /// The largest entry of the last gradient.
        gradient: f64,
        /// What it had to fall below.
        tolerance: f64,
    },
    /// A covariance without an inverse.
    #[error(
        "the pooled covariance of {n_features} features is singular: some feature never varies within a class"
    )]
    SingularCovariance {
        /// How many features there are.
        n_features: usize,
    },
    /// A covariance that no memory holds, or no time is enough for.
    #[error("a covariance of {found} features is too large, expected at most {most} features")]
    LargeCovariance {
        /// How many features there are.
        found: usize,
        /// The most.
        most: usize,
    },
}

/// What is wrong with the words of a question.
fn question_words(words: &str, found: usize) -> String {
    match found {
        0 | 1 => format!("the question {words:?} says nothing, expected its words"),
        _ => format!(
            "the question {words:?} has {found} placeholders {{technique}}, expected at most 1"
        ),
    }
}
