<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{title}} · Masked calls</title>
<link rel="icon" href="static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="static/style.css">
<script src="static/live.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<strong class="brand"><img src="static/icon.svg" alt="" width="24" height="24">Masked calls</strong>
<nav aria-label="Pages">
% for address, name in (("./", "Calls"), ("routes", "Routes"), ("report", "Report")):
<a href="{{address}}"\\
% if name == tab:
 aria-current="page"\\
% end
>{{name}}</a>
% end
</nav>
% state, sentence = served
<p id="served" class="state {{state}}" data-live>{{sentence[:1].upper() + sentence[1:]}}</p>
</header>
% if shown.full:
<p class="full">Numbers, pressed keys and texts are shown in full.</p>
% end
<main id="main" tabindex="-1">
{{!base}}
</main>
<footer>Times are UTC. The log is only read\\
% if not shown.full:
; numbers are shown by their last four digits, masking IDs whole\\
% end
.</footer>
</body>
</html>
