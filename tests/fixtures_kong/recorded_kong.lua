-- What the stand-in plugin touches of Kong 3.9, OpenResty and lua-cjson, behaving as recorded from the real ones.
-- The chunk returns a table of what the test sets ("now", "message" and so on) and of what the plugin did.

local world = {
  now = 0, subsystem = "http", worker = 0,
  plugin_id = "plugin-1",
  message = nil, headers = {}, host = nil,      -- of the present request
  logged = {}, entries = {}, posts = {},        -- what happened
  queue = nil, full = false, existing = {},     -- the latest arguments of Queue.enqueue; a queue that asserts
  answer = function() return 202 end,           -- status, or nil and an error
}

-- ngx --------------------------------------------------------------------------------------------------------

ngx = {
  null = setmetatable({}, { __tostring = function() return "userdata: NULL" end }),
  config = setmetatable({}, { __index = function(_, name) return name == "subsystem" and world.subsystem or nil end }),
  now = function() return world.now end,
  worker = { id = function() return world.worker end },
}

-- kong -------------------------------------------------------------------------------------------------------

local function line(level)
  return function(...)
    local parts = { ... }
    for i = 1, select("#", ...) do
      parts[i] = tostring(parts[i])
    end
    world.logged[#world.logged + 1] = level .. ": " .. table.concat(parts)
  end
end

kong = {
  log = { debug = line("debug"), notice = line("notice"), warn = line("warn"), err = line("err"),
          serialize = function() return world.message end },
  plugin = { get_id = function() return world.plugin_id end },
  request = {
    get_host = function() return world.host end,
    get_headers = function(most)
      assert(most == nil or (most >= 1 and most <= 1000), "max_headers must be between 1 and 1000")
      local found, count = {}, 0
      for _, header in ipairs(world.headers) do
        count = count + 1
        if count > (most or 100) then
          break
        end
        local name, before = header[1]:lower(), found[header[1]:lower()]
        if type(before) == "table" then
          before[#before + 1] = header[2]
        else
          found[name] = before and { before, header[2] } or header[2]
        end
      end
      return setmetatable(found, {
        __index = function(self, name) return rawget(self, (name:lower():gsub("_", "-"))) end,
      })
    end,
  },
}

-- lua-cjson: bytes pass through, "/" is escaped, numbers have 14 digits ---------------------------------------

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["/"] = "\\/", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n",
                  ["\r"] = "\\r", ["\t"] = "\\t" }

local function encode(value)
  local kind = type(value)
  if kind == "string" then
    return '"' .. value:gsub('[%z\1-\31"\\/\127]', function(c)
      return escapes[c] or string.format("\\u%04x", c:byte())
    end) .. '"'
  elseif kind == "number" then
    assert(value == value and value ~= 1 / 0 and value ~= -1 / 0, "Cannot serialise number: must not be NaN or Inf")
    return string.format("%.14g", value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif value == ngx.null then
    return "null"
  elseif kind ~= "table" then
    error("Cannot serialise " .. kind .. ": type not supported")
  end
  local parts = {}
  if #value > 0 then
    for i = 1, #value do
      parts[i] = encode(value[i])
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for name, member in pairs(value) do
    parts[#parts + 1] = encode(tostring(name)) .. ":" .. encode(member)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

package.preload["cjson"] = function() return { encode = encode, null = ngx.null } end

-- kong.tools -------------------------------------------------------------------------------------------------

local ids = 0
package.preload["kong.tools.uuid"] = function()
  return { uuid = function()
    ids = ids + 1
    return string.format("00000000-0000-4000-8000-%012x", ids)
  end }
end

local SETTINGS = { "max_batch_size", "max_coalescing_delay", "max_entries", "initial_retry_delay", "max_retry_time",
                   "max_retry_delay" }

package.preload["kong.tools.queue"] = function()
  return {
    exists = function(name) return world.existing[name] or false end,
    enqueue = function(queue_conf, handler, handler_conf, entry)
      assert(type(queue_conf) == "table", "arg #1 (queue_conf) must be a table")
      assert(type(handler) == "function", "arg #2 (handler) must be a function")
      assert(handler_conf == nil or type(handler_conf) == "table", "arg #3 (handler_conf) must be a table")
      assert(type(queue_conf.name) == "string", "arg #1 (queue_conf) must include a name")
      for _, name in ipairs(SETTINGS) do
        assert(type(queue_conf[name]) == "number", "arg #1 (queue_conf) " .. name .. " must be a number")
      end
      assert(queue_conf.max_bytes == nil or type(queue_conf.max_bytes) == "number", "max_bytes must be a number")
      assert(not world.full, "assertion failed!")
      if queue_conf.max_bytes and #entry > queue_conf.max_bytes then
        return nil, "string to be queued is longer than the queue's max_bytes"
      end
      world.queue = { conf = queue_conf, handler = handler, order = handler_conf }
      world.entries[#world.entries + 1] = entry
      return true
    end,
  }
end

-- lua-resty-http ---------------------------------------------------------------------------------------------

package.preload["resty.http"] = function()
  return { new = function()
    return {
      set_timeout = function(self, milliseconds) self.timeout = milliseconds end,
      request_uri = function(self, url, params)
        world.posts[#world.posts + 1] = { url = url, params = params, timeout = self.timeout }
        local status, failure = world.answer(url, params)
        if not status then
          return nil, failure
        end
        return { status = status, headers = {}, body = "" }
      end,
    }
  end }
end

-- kong.db.schema ---------------------------------------------------------------------------------------------

package.preload["kong.db.schema.typedefs"] = function()
  return {
    no_consumer_group = { type = "foreign", reference = "consumer_groups", eq = ngx.null },
    protocols = { type = "set", required = true, default = { "grpc", "grpcs", "http", "https" } },
  }
end

-- Kong itself complains about a plugin's globals; here they are errors.
setmetatable(_G, {
  __index = function(_, name) error("reads an undeclared global: " .. tostring(name), 2) end,
  __newindex = function(_, name) error("sets a global: " .. tostring(name), 2) end,
})

return world
