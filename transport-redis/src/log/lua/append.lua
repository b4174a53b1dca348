-- ARGV: the version, a random number in case that an epoch is due, how many rows to keep; the history and the epoch that the
-- caller has seen last, the id of a row in it and its nonce, or nothing; then the entries.
local key = KEYS[1]
local role, history, took_over = server()
if role ~= 'master' then return {role} end
local kind, version, epoch, name = mark(key)
if kind ~= 'none' and kind ~= 'stream' then return {role, history, kind} end
if version and version ~= ARGV[1] then return {role, history, kind, version} end
local turned = not version
-- Who knows more than is there knows that the past was changed, which nothing else may tell to the others. A row that a
-- primary took after it had been replaced is missing in its successor, under another history of the same epoch.
if version and history == ARGV[4] and time_of(epoch) < time_of(ARGV[5]) then
  turned = true
elseif version and (history == ARGV[4] or took_over) and epoch == ARGV[5] and ARGV[6] ~= '' then
  local last = tonumber(string.match(named(redis.call('XINFO', 'STREAM', key))['last-generated-id'], '^(%d+)'))
  local row = redis.call('XRANGE', key, ARGV[6], ARGV[6])[1]
  local nonce = row and nonce_of(row[2])
  turned = last < tonumber(string.match(ARGV[6], '^(%d+)')) or (nonce and nonce ~= ARGV[7])
end
if turned then
  epoch = mark_with(key, ARGV[1], ARGV[2], ARGV[5])
  if name then redis.call('XGROUP', 'DESTROY', key, name) end
end
local before = append_rows(key, history, ARGV[3], 8, #ARGV)
return {role, history, 'stream', ARGV[1], epoch, before and string.format('%.0f', before)}
