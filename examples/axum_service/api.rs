//! The service over HTTP.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use cache_invalidation::Node;
use serde::{Deserialize, Serialize};

use crate::{
    error::ApiError,
    users::{Details, User, Users},
};

/// What every request may use.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) users: Users,
    pub(crate) node: Node,
    pub(crate) max_staleness: Duration,
}

/// All routes but the fan-out's.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/users", get(list))
        .route("/users/{id}", get(find).put(put).delete(delete))
        .route("/health", get(health))
        .with_state(service)
}

async fn find(
    State(service): State<Arc<Service>>,
    Path(id): Path<i64>,
) -> Result<Json<User>, ApiError> {
    let user = service.users.find(id).await?.ok_or(ApiError::NotFound)?;
    Ok(Json(Arc::unwrap_or_clone(user)))
}

/// Which part of a list.
#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    after: i64,
    #[serde(default = "usual_limit")]
    limit: u32,
}

fn usual_limit() -> u32 {
    50
}

async fn list(
    State(service): State<Arc<Service>>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<User>>, ApiError> {
    let limit = page.limit.min(1_000);
    Ok(Json(service.users.list(page.after, limit).await?))
}

async fn put(
    State(service): State<Arc<Service>>,
    Path(id): Path<i64>,
    Json(details): Json<Details>,
) -> Result<Json<User>, ApiError> {
    if details.name.trim().is_empty() {
        return Err(ApiError::Invalid("name must not be empty"));
    }
    if !details.email.contains('@') {
        return Err(ApiError::Invalid("email must hold an @"));
    }
    Ok(Json(service.users.put(id, details).await?))
}

async fn delete(
    State(service): State<Arc<Service>>,
    Path(id): Path<i64>,
) -> Result<StatusCode, ApiError> {
    match service.users.delete(id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::NotFound),
    }
}

/// How the service is.
#[derive(Debug, Serialize)]
struct Health {
    /// `"ok"`, or `"bypass"` while reads go to the database since the log cannot be read.
    cache: &'static str,
    /// No cached value is staler than this.
    log_age_ms: Option<u128>,
}

/// Always 200: a node that cannot trust its cache is slower, and as right as ever. Taking it out of service would
/// put its load on the others, which most likely have the same trouble.
async fn health(State(service): State<Arc<Service>>) -> Json<Health> {
    let age = service.node.log_age();
    let fresh = age.is_some_and(|age| age <= service.max_staleness);
    Json(Health {
        cache: if fresh { "ok" } else { "bypass" },
        log_age_ms: age.map(|age| age.as_millis()),
    })
}
