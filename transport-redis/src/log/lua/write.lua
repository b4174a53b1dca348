-- The log's key is the last of KEYS. Behind the caller's own ARGV, as many as the last one says: the version and the epoch
-- of the log that is meant, how many rows to keep, then the entries.
local key, own = KEYS[#KEYS], tonumber(ARGV[#ARGV])
local role, history = server()
if role ~= 'master' then
  return redis.error_reply('READONLY the server is a replica')
end
local _, version, epoch = mark(key)
if version ~= ARGV[own + 1] or epoch ~= ARGV[own + 2] then
  return redis.error_reply('NOLOG the invalidation log that the write joins is not in this database: connect to that of the log, and begin anew')
end
if not append_rows(key, history, ARGV[own + 3], own + 4, #ARGV - 1) then
  return redis.error_reply('NOLOG the ids of the invalidation log are used up: delete its key')
end
