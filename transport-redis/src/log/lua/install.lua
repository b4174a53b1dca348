-- ARGV: the version that is wanted; for an epoch, in case that there is none, a random number and the one seen last.
local key = KEYS[1]
local role, history = server()
if role ~= 'master' then return {role} end
local kind, version, epoch = mark(key)
if kind ~= 'none' and kind ~= 'stream' then return {role, history, kind} end
if not version then
  version, epoch = ARGV[1], mark_with(key, ARGV[1], ARGV[2], ARGV[3])
end
return {role, history, 'stream', version, epoch}
