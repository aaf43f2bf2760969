//! What an answer carries: bytes that are there, or pieces as they come.
use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;

/// The body of an answer.
pub(crate) enum Body {
    Whole(Bytes),
    /// Pieces of a file of which so many bytes are left, or events without an end.
    Pieces {
        pieces: Receiver<Bytes>,
        n_left: Option<u64>,
    },
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Pieces { pieces, n_left } => match pieces.poll_recv(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(piece)) => {
                    if let Some(n_left) = n_left {
                        *n_left = n_left.saturating_sub(piece.len() as u64);
                    }
                    Poll::Ready(Some(Ok(Frame::data(piece))))
                }
                // a file that became shorter while it was read: the browser is to see a broken answer
                Poll::Ready(None) if n_left.is_some_and(|it| it > 0) => {
                    Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())))
                }
                Poll::Ready(None) => Poll::Ready(None),
            },
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pieces { n_left: Some(n_left), .. } => SizeHint::with_exact(*n_left),
            Self::Pieces { n_left: None, .. } => SizeHint::default(),
        }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Whole(text.into())
    }
}
