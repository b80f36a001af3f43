-- Asks dualauth about a request before HAProxy passes it on: `http-request lua.verify URL`, with the URL of /verify.

-- What dualauth goes by. Of the client it gets nothing else, and no body.
local CREDENTIALS = { "authorization", "cookie" }

-- What the app is told.
local IDENTITY = {
    "x-auth-user-id", "x-auth-username", "x-auth-roles", "x-auth-mode", "x-auth-acr", "x-auth-amr", "x-auth-time",
}

-- What a client is told that is refused.
local REFUSAL = { "content-type", "www-authenticate", "retry-after", "cache-control", "x-request-id" }

-- These headers out of all, where they are there: HAProxy's tables of values begin at 0.
local function pick(headers, names)
    local picked = {}
    for _, name in ipairs(names) do
        local values = {}
        for _, value in pairs(headers[name] or {}) do
            table.insert(values, value)
        end
        if #values > 0 then
            picked[name] = values
        end
    end
    return picked
end

local function refuse(txn, status, headers, body)
    txn:done(txn:reply({ status = status, headers = headers, body = body }))
end

core.register_action("verify", { "http-req" }, function(txn, url)
    local headers = pick(txn.http:req_get_headers(), CREDENTIALS)
    headers["x-forwarded-for"] = { txn.f:src() }
    local answer = core.httpclient():get({ url = url, headers = headers })
    if answer == nil or answer.status == nil then
        refuse(txn, 502)
    elseif answer.status ~= 200 then
        refuse(txn, answer.status, pick(answer.headers, REFUSAL), answer.body)
    else
        for name, values in pairs(pick(answer.headers, IDENTITY)) do
            if values[1] ~= "" then
                txn.http:req_set_header(name, values[1])
            end
        end
    end
end, 1)
