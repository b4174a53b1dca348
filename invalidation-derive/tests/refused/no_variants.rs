use invalidation_derive::CacheKey;

#[derive(CacheKey)]
#[cache_key(crate = "invalidation_core")]
enum Never {}

fn main() {}
