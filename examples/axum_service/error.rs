//! What goes wrong, and what the client is told of it.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use cache_invalidation::{LoadError, Retry};
use serde_json::json;

/// Why a write failed.
#[derive(Debug)]
pub(crate) enum WriteError {
    Database(sqlx::Error),
    Invalidation(cache_invalidation::Error),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<cache_invalidation::Error> for WriteError {
    fn from(error: cache_invalidation::Error) -> Self {
        Self::Invalidation(error)
    }
}

/// An answer that is not the one asked for.
#[derive(Debug)]
pub(crate) enum ApiError {
    NotFound,
    Invalid(&'static str),
    Conflict,
    /// The same request may succeed in a moment.
    Unavailable,
    Internal,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "there is no such user"),
            Self::Invalid(why) => (StatusCode::UNPROCESSABLE_ENTITY, why),
            Self::Conflict => (StatusCode::CONFLICT, "another user has this email"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "try again in a moment"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "something went wrong"),
        };
        let body = Json(json!({ "error": message }));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return (status, [(header::RETRY_AFTER, "1")], body).into_response();
        }
        (status, body).into_response()
    }
}

impl From<LoadError> for ApiError {
    fn from(error: LoadError) -> Self {
        // All who waited for one load share its error; the loader's own is inside.
        if let Some(error) = error.downcast_ref::<sqlx::Error>() {
            return Self::from_database(error);
        }
        tracing::error!(%error, "a user could not be read");
        match error {
            LoadError::Stale | LoadError::TimedOut | LoadError::Overloaded => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::from_database(&error)
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Database(error) => Self::from_database(&error),
            // The transaction is rolled back: nothing was written that the others do not hear of.
            WriteError::Invalidation(error) => {
                tracing::error!(%error, "a write could not be logged, and was not made");
                match error.retry {
                    Retry::Temporary => Self::Unavailable,
                    Retry::Permanent => Self::Internal,
                }
            }
        }
    }
}

impl ApiError {
    fn from_database(error: &sqlx::Error) -> Self {
        let database = error.as_database_error();
        if database.is_some_and(|error| error.is_unique_violation()) {
            return Self::Conflict;
        }
        tracing::error!(%error, "the database failed");
        // SQLITE_BUSY (5): another program held the write lock for longer than the busy timeout.
        let busy = database.is_some_and(|error| error.code().as_deref() == Some("5"));
        match error {
            sqlx::Error::PoolTimedOut => Self::Unavailable,
            _ if busy => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}
