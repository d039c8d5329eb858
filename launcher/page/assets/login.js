'use strict';
// Whoever follows a link from elsewhere comes without the cookie, which is only sent from
// pages of ours: ask once more from here.
fetch('/page/session').then((answer) => { if (answer.ok) location.replace('/page/'); }, () => {});
