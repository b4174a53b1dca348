-- Gives the log another epoch, if it still has the one that is known to be wrong.
-- ARGV: the version, the wrong epoch; for another a random number, and the epoch seen last.
local key = KEYS[1]
local role, history = server()
if role ~= 'master' then return {role} end
local kind, version, epoch, name = mark(key)
if version == ARGV[1] and epoch == ARGV[2] then
  mark_with(key, version, ARGV[3], ARGV[4])
  redis.call('XGROUP', 'DESTROY', key, name)
end
return {role, history, kind, version}
