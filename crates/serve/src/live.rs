//! How the run stands, as it changes: server-sent events.
//!
//! One task looks, and only while somebody listens; all listeners share what it saw.
use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    task, time,
};

/// How often a run is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// A line without meaning is sent after this time, so that nothing on the way closes the connection.
const SIGN: Duration = Duration::from_secs(15);

/// How a run stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether somebody works on it.
    pub is_running: bool,
    /// When the run began, in UTC as `2001-09-28T12:00:59Z`; empty where nothing says it.
    pub since: String,
    /// In words for people; may have several lines.
    pub words: String,
}

/// Looks at the run.
pub(crate) type Look = Arc<dyn Fn() -> State + Send + Sync>;

/// The last state that was seen.
#[derive(Clone)]
pub(crate) struct Live {
    look: Look,
    seen: watch::Sender<State>,
}

impl Live {
    pub(crate) fn new(look: Look) -> Self {
        let seen = watch::Sender::new(look());
        Self { look, seen }
    }

    /// Looks now.
    pub(crate) async fn now(&self) -> State {
        let look = Arc::clone(&self.look);
        // a look that panics leaves the last state
        if let Ok(state) = task::spawn_blocking(move || look()).await {
            self.seen.send_if_modified(|seen| {
                let is_other = *seen != state;
                *seen = state;
                is_other
            });
        }
        self.seen.borrow().clone()
    }

    /// Looks as long as somebody listens, for ever.
    pub(crate) fn watch(&self) -> impl Future<Output = ()> + use<> {
        let live = self.clone();
        async move {
            loop {
                if live.seen.receiver_count() > 0 {
                    live.now().await;
                }
                time::sleep(EVERY).await;
            }
        }
    }

    /// Events of a new listener, the present state first.
    pub(crate) async fn events(&self) -> mpsc::Receiver<Bytes> {
        self.now().await;
        let (sender, events) = mpsc::channel(1);
        let mut seen = self.seen.subscribe();
        task::spawn(async move {
            loop {
                let event = event(&seen.borrow_and_update());
                if sender.send(event).await.is_err() {
                    return;
                }
                loop {
                    match time::timeout(SIGN, seen.changed()).await {
                        Ok(Ok(())) => break,
                        Ok(Err(_)) => return,
                        Err(_) if sender.send(Bytes::from_static(b":\n\n")).await.is_err() => {
                            return;
                        }
                        Err(_) => {}
                    }
                }
            }
        });
        events
    }
}

/// One event; JSON has no line breaks, which would end it.
fn event(state: &State) -> Bytes {
    let State { is_running, since, words } = state;
    let data = json!({ "is_running": is_running, "since": since, "words": words });
    format!("data: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_json() {
        let since = "2001-09-28T12:00:59Z".to_owned();
        let state = State { is_running: true, since, words: "two\nlines".to_owned() };
        assert_eq!(
            event(&state),
            "data: {\"is_running\":true,\"since\":\"2001-09-28T12:00:59Z\",\"words\":\"two\\nlines\"}\n\n"
        );
    }
}
