// The bare look-up in Express, on Node: node express_app.js PORT.
// One process, as `node` starts it; NODE_ENV is production, or Express would be slower than in use.

const express = require("express");

const ROUTES = new Map([["12025550100", ["12025550111", "12025550199"]]]);

const app = express();
app.use(express.json());
app.post("/", (request, response) => {
  const [to, masking_id] = ROUTES.get(request.body.data.to);
  response.json({ method: "dial", params: { to, caller_id_number: masking_id } });
});
app.listen(Number(process.argv[2]), "127.0.0.1");
